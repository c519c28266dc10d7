/** Adds a learned vector to each place of a sequence: [batch, length, width] → the same shape. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type Initializer,
  type InitializerConfig,
  initializerConfig,
  initializerFrom,
  smallNormal,
} from './initializers.js';

export interface PositionEmbeddingArgs {
  readonly name?: string;
  readonly positionsInitializer?: Initializer | InitializerConfig;
}

export class PositionEmbedding extends tfl.layers.Layer {
  static className = 'PositionEmbedding';
  private readonly positionsInitializer: Initializer;
  private positions: tfl.LayerVariable | undefined;

  constructor(args: PositionEmbeddingArgs = {}) {
    super(args as ConstructorParameters<typeof tfl.layers.Layer>[0]);
    this.positionsInitializer = initializerFrom(args.positionsInitializer, smallNormal);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const [, length, width] = inputShape as number[];
    this.positions = this.addWeight('positions', [length, width], 'float32', this.positionsInitializer);
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [x] = [inputs].flat();
    return tf.add(x, (this.positions as tfl.LayerVariable).read());
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape | tfl.Shape[] {
    return inputShape;
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), positionsInitializer: initializerConfig(this.positionsInitializer) };
  }
}

tf.serialization.registerClass(PositionEmbedding);
