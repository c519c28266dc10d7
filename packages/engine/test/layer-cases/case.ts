/** What a case of the layer sweep is, and short ways to write one. */
import * as tfl from '@tensorflow/tfjs-layers';

export interface LayerCase {
  readonly title: string;
  readonly inputShape: number[];
  readonly dtype?: 'int32';
  /** Numbers of samples to try; 1, 3 and 16 unless told. */
  readonly counts?: number[];
  /** Largest relative difference allowed; 1e-4 unless told. */
  readonly tolerance?: number;
  /** Magnitude below which a parameter's gradient counts as zero, where one is zero but for rounding. */
  readonly floor?: number;
  /** Hidden part of the model, from the input to something that a dense head can take. */
  build(input: tfl.SymbolicTensor): tfl.SymbolicTensor;
}

export type Apply = (x: tfl.SymbolicTensor) => tfl.SymbolicTensor;

export const apply = (layer: tfl.layers.Layer, x: tfl.SymbolicTensor | tfl.SymbolicTensor[]) =>
  layer.apply(x) as tfl.SymbolicTensor;

/** One layer on the input. */
export const one = (title: string, inputShape: number[], make: () => tfl.layers.Layer, dtype?: 'int32'): LayerCase => ({
  title,
  inputShape,
  dtype,
  build: (input) => apply(make(), input),
});

/** Layers one after the other. */
export const chain = (title: string, inputShape: number[], make: () => tfl.layers.Layer[]): LayerCase => ({
  title,
  inputShape,
  build: (input) => make().reduce((x, layer) => apply(layer, x), input),
});

/** Two branches from the input, merged. */
export const branch = (
  title: string,
  inputShape: number[],
  merge: () => tfl.layers.Layer,
  left: Apply,
  right: Apply,
): LayerCase => ({
  title,
  inputShape,
  build: (input) => apply(merge(), [left(input), right(input)]),
});

export const dense =
  (units: number): Apply =>
  (x) =>
    apply(tfl.layers.dense({ units, activation: 'tanh' }), x);

/** A 3×3 convolution of 16 filters unless told. */
export const conv = (args: object) => tfl.layers.conv2d({ filters: 16, kernelSize: 3, ...args });
