/** The tensor library, set up once: layers with their gradients, and the `cpu` backend, which is always there. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-layers';

tf.enableProdMode();

/** Runs `work` with `backend` as tfjs's current one, and puts the old one back. Synchronous, so nothing can interleave. */
export function withBackend<Result>(backend: string, work: () => Result): Result {
  const before = tf.getBackend() ?? 'cpu';
  void tf.setBackend(backend);
  try {
    return work();
  } finally {
    void tf.setBackend(before);
  }
}

export { tf };
