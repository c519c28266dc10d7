import { resolve } from 'node:path';
import type { Field } from '@coord/protocol';
import type { IdxConfig, IdxSplitConfig } from '../config.js';
import { type IdxFile, openIdx } from '../idx.js';
import { invalidData } from '../invalid.js';
import { elementsOf, type Source, type SplitSource } from './source.js';

interface Pair {
  readonly images: IdxFile;
  readonly labels: IdxFile;
  readonly largestLabel: number;
}

const LABEL_SCAN = 65536;

/** @throws CoordError DATASET_INVALID naming file and byte offset. */
export async function openIdxSource(config: IdxConfig, directory: string): Promise<Source> {
  const train = await openPair(config.train, directory);
  const test = config.test && (await openPair(config.test, directory));
  const classes = config.classes ?? Math.max(2, train.largestLabel + 1);
  await checkLargest(train, classes);
  if (test) {
    checkSameKind(train.images, test.images);
    checkSameKind(train.labels, test.labels);
    await checkLargest(test, classes);
  }
  return {
    name: 'idx',
    fields: [inputField(config, train.images), labelField(train.labels)],
    classes,
    train: splitOf(train),
    test: test && splitOf(test),
  };
}

const splitOf = ({ images, labels }: Pair): SplitSource => ({
  samples: images.dimensions[0],
  readField: (field, first, count) => (field === 0 ? images : labels).read(first, count),
});

async function openPair(config: IdxSplitConfig, directory: string): Promise<Pair> {
  const [images, labels] = await Promise.all([
    openIdx(resolve(directory, config.images)),
    openIdx(resolve(directory, config.labels)),
  ]);
  checkLabelFile(labels);
  if (images.dimensions[0] !== labels.dimensions[0]) {
    const problem = `expected as many labels as ${images.file} has images, ${images.dimensions[0]}, found ${labels.dimensions[0]}`;
    throw invalidData({ file: labels.file, offsetBytes: 4 }, problem);
  }
  return { images, labels, largestLabel: await scanLabels(labels) };
}

function checkLabelFile({ file, type, dimensions }: IdxFile): void {
  if (dimensions.length !== 1) {
    throw invalidData({ file, offsetBytes: 3 }, `expected labels of 1 dimension, found ${dimensions.length}`, {
      hint: 'Are images and labels exchanged?',
    });
  }
  if (type.storage === 'float32')
    throw invalidData({ file, offsetBytes: 2 }, `expected integer labels, found ${type.name}`);
}

async function eachLabel(labels: IdxFile, visit: (label: number, offsetBytes: number) => void): Promise<void> {
  const [samples] = labels.dimensions;
  const headerBytes = 8;
  for (let first = 0; first < samples; first += LABEL_SCAN) {
    const bytes = await labels.read(first, Math.min(LABEL_SCAN, samples - first));
    const values =
      labels.type.storage === 'uint8' ? bytes : new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    values.forEach((label, index) => {
      visit(label, headerBytes + (first + index) * labels.type.sizeBytes);
    });
  }
}

async function scanLabels(labels: IdxFile): Promise<number> {
  let largest = 0;
  await eachLabel(labels, (label, offsetBytes) => {
    if (label < 0)
      throw invalidData({ file: labels.file, offsetBytes }, `expected a label of at least 0, found ${label}`);
    largest = Math.max(largest, label);
  });
  return largest;
}

async function checkLargest({ labels, largestLabel }: Pair, classes: number): Promise<void> {
  if (largestLabel < classes) return;
  await eachLabel(labels, (label, offsetBytes) => {
    if (label < classes) return;
    const problem = `expected a label below ${classes}, the number of classes, found ${label}`;
    throw invalidData({ file: labels.file, offsetBytes }, problem, { hint: 'Set data.classes if there are more.' });
  });
}

function checkSameKind(train: IdxFile, test: IdxFile): void {
  const shapeOf = ({ dimensions, type }: IdxFile) => `${dimensions.slice(1).join(' × ') || 'scalar'} ${type.name}`;
  if (shapeOf(train) === shapeOf(test)) return;
  const problem = `expected samples like those of ${train.file}, ${shapeOf(train)}, found ${shapeOf(test)}`;
  throw invalidData({ file: test.file, offsetBytes: 4 }, problem);
}

function inputField(config: IdxConfig, images: IdxFile): Field {
  const scale = config.scale ?? (images.type.storage === 'uint8' ? 1 / 255 : 1);
  const shape = inputShape(config, images);
  return {
    name: 'image',
    role: 'input',
    shape,
    storage: images.type.storage,
    dtype: 'float32',
    scale,
    offset: config.offset,
  };
}

function inputShape(config: IdxConfig, { file, dimensions }: IdxFile): number[] {
  const own = dimensions.slice(1);
  // Convolutions want a channel axis, which files of grey images leave out.
  if (!config.shape) return own.length === 2 ? [...own, 1] : own;
  if (elementsOf(config.shape) === elementsOf(own)) return config.shape;
  const problem = `data.shape ${config.shape.join(' × ')} does not hold the file's samples of ${own.join(' × ')}`;
  throw invalidData({ file, offsetBytes: 4 }, problem);
}

const labelField = (labels: IdxFile): Field => ({
  name: 'label',
  role: 'target',
  shape: [],
  storage: labels.type.storage,
  dtype: 'int32',
  scale: 1,
  offset: 0,
});
