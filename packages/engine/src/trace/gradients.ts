/** Gradients that tfjs formulates in a way that is right but far too long to compile; put in place while tracing. */
import { tf } from '../tensors.js';

/** tfjs adds up one slice a repetition; LayerNorm tiles to its whole width. */
const tileGradient: tf.GradConfig = {
  kernelName: 'Tile',
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attrs) => ({
    x: () => {
      const [x] = saved;
      const { reps } = attrs as unknown as { reps: number[] };
      const split = x.shape.flatMap((extent, axis) => [reps[axis], extent]);
      const repeats = x.shape.map((_, axis) => 2 * axis);
      return tf.reshape(tf.sum(tf.reshape(dy as tf.Tensor, split), repeats), x.shape);
    },
  }),
};

const REPLACEMENTS = [tileGradient];

export function withShortGradients<Result>(work: () => Result): Result {
  const originals = REPLACEMENTS.map(({ kernelName }) => tf.getGradient(kernelName));
  REPLACEMENTS.forEach(install);
  try {
    return work();
  } finally {
    originals.forEach(install);
  }
}

function install(gradient: tf.GradConfig): void {
  tf.unregisterGradient(gradient.kernelName);
  tf.registerGradient(gradient);
}
