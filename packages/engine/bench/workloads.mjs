// What is measured: models of the library, each with its twin in torch_peer.py. `eager`: how often tfjs-cpu computes it; where nothing stands, a
// step of it takes most of a minute or more.
const tokens = (length) => ({
  name: 'x',
  role: 'input',
  shape: [length],
  storage: 'int32',
  dtype: 'int32',
  scale: 1,
  offset: 0,
});
const image = (shape) => ({
  name: 'x',
  role: 'input',
  shape,
  storage: 'float32',
  dtype: 'float32',
  scale: 1,
  offset: 0,
});
const labels = (shape) => ({ name: 'y', role: 'target', shape, storage: 'int32', dtype: 'int32', scale: 1, offset: 0 });

const transformer = { vocabulary: 512, length: 64, width: 256, heads: 4, blocks: 2, dropout: 0 };

export const WORKLOADS = {
  mlp: {
    model: 'mlp',
    options: { hidden: [512, 256] },
    input: image([28, 28, 1]),
    target: labels([]),
    classes: 10,
    eager: 'each round',
  },
  cnn: {
    model: 'cnn',
    options: {},
    input: image([28, 28, 1]),
    target: labels([]),
    classes: 10,
    eager: 'one step',
  },
  'resnet-18': { model: 'resnet', options: { depth: 18 }, input: image([32, 32, 3]), target: labels([]), classes: 10 },
  'transformer-classifier': {
    model: 'transformer-classifier',
    options: transformer,
    input: tokens(64),
    target: labels([]),
    classes: 10,
  },
  gpt: { model: 'gpt', options: transformer, input: tokens(64), target: labels([64]), classes: 512 },
};

/** Random samples of a workload. */
export function batchOf({ input, target, classes, options }, count) {
  const size = (shape) => count * shape.reduce((product, extent) => product * extent, 1);
  const integers = (shape, limit) => Int32Array.from({ length: size(shape) }, () => Math.floor(Math.random() * limit));
  const x =
    input.dtype === 'int32'
      ? integers(input.shape, options.vocabulary)
      : Float32Array.from({ length: size(input.shape) }, Math.random);
  return { count, inputs: [x], targets: [integers(target.shape, classes)] };
}
