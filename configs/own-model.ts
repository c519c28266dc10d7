/**
 * A model of your own: `configs/own-model.yaml` names this file. Whatever the options say, the function must return a
 * tf.layers model; only the process that starts the run executes it.
 */
import * as tfl from '@tensorflow/tfjs-layers';

interface Options {
  readonly units?: number;
  readonly dropout?: number;
}

export default function ownModel({ units = 32, dropout = 0.2 }: Options): tfl.LayersModel {
  const image = tfl.input({ name: 'image', shape: [8, 8, 1] });
  const rows = tfl.layers.reshape({ name: 'rows', targetShape: [8, 8] }).apply(image);
  const read = tfl.layers.gru({ name: 'reader', units, dropout }).apply(rows);
  const classes = tfl.layers.dense({ name: 'classes', units: 4, activation: 'softmax' }).apply(read);
  return tfl.model({ inputs: image, outputs: classes as tfl.SymbolicTensor });
}
