/** Counts the labels of a training split, for class weights. */
import { CoordError, STORAGE_BYTES } from '@coord/protocol';
import { elementsOf, type Source } from './sources/source.js';

/** Samples whose labels are read at once. */
const RANGE = 65_536;

/** @throws CoordError DATASET_INVALID when a label is not below `classes`. */
export async function countLabels(source: Source, name: string, samples: number, classes: number): Promise<number[]> {
  const index = source.fields.findIndex((field) => field.name === name);
  const { storage, shape } = source.fields[index];
  const counts = Array.from({ length: classes }, () => 0);
  const range = Math.max(1, Math.floor(RANGE / elementsOf(shape)));
  for (let first = 0; first < samples; first += range) {
    const bytes = await source.train.readField(index, first, Math.min(range, samples - first));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.byteLength; at += STORAGE_BYTES[storage]) {
      const label = storage === 'uint8' ? view.getUint8(at) : view.getInt32(at, true);
      if (!(label in counts)) throw strange(source.name, label, classes);
      counts[label]++;
    }
  }
  return counts;
}

const strange = (dataset: string, label: number, classes: number): CoordError =>
  new CoordError('DATASET_INVALID', `${dataset} has the label ${label}; the model tells ${classes} classes apart`, {
    hint: "Change the model's number of classes, or the data.",
    facts: { dataset, label, classes },
  });
