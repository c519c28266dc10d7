/**
 * tf.layers allocates weights as soon as a model is built, so building needs a tfjs backend; `cpu` is the one that is
 * always there. Production mode only silences its advice to install another one.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

tf.enableProdMode();
