/** A model of the library: a documented function of its hyper-parameters that returns a tf.layers model. */
import type * as tfl from '@tensorflow/tfjs-layers';
import type { z } from 'zod';

export interface ModelDefinition<Options extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** One line for `coord models`. */
  readonly summary: string;
  /** Hyper-parameters with their defaults. */
  readonly options: Options;
  /** Layers get explicit names, so that weight names never depend on what else the process has built. */
  build(options: z.infer<Options>): tfl.LayersModel;
}

/** Keeps the options' type while a definition is written. */
export const defineModel = <Options extends z.ZodType>(definition: ModelDefinition<Options>) => definition;
