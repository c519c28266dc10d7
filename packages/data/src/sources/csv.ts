/** CSV tables: numbers in, a label or numbers out. The numbers are kept in memory as float32, four bytes a value. */
import { resolve } from 'node:path';
import type { Field } from '@coord/protocol';
import type { CsvConfig } from '../config.js';
import { type CsvTable, readCsv } from '../csv.js';
import { invalidData } from '../invalid.js';
import { bytesOf, elementsOf, type Source, type SplitSource, WEIGHT_FIELD } from './source.js';

interface Split {
  readonly inputs: Float32Array;
  readonly targets: Float32Array | Int32Array;
  /** Empty where there is no column of weights. */
  readonly weights: Float32Array;
  readonly samples: number;
}

/** @throws CoordError DATASET_INVALID naming file, line and column. */
export async function openCsv(config: CsvConfig, directory: string): Promise<Source> {
  const train = await readCsv(resolve(directory, config.train), config);
  const columns = train.inputColumns;
  const shape = inputShape(config, train);
  // The training file decides which columns there are; the test file may order them otherwise.
  const test =
    config.test === undefined ? undefined : await readCsv(resolve(directory, config.test), { ...config, columns });
  const classNames = config.task === 'classification' ? (config.classes ?? sortedLabels(train)) : undefined;
  return {
    name: 'csv',
    fields: [
      inputField(config, shape),
      targetField(config, train.targetColumns.length),
      ...(config.weight === undefined ? [] : [WEIGHT_FIELD]),
    ],
    classes: classNames?.length,
    classNames,
    train: splitSource(splitOf(train, classNames), columns.length),
    test: test && splitSource(splitOf(test, classNames), columns.length),
  };
}

function inputShape(config: CsvConfig, { file, inputColumns }: CsvTable): number[] {
  const shape = config.shape ?? [inputColumns.length];
  if (elementsOf(shape) === inputColumns.length) return shape;
  const problem = `data.shape ${shape.join(' × ')} does not hold the ${inputColumns.length} input columns`;
  throw invalidData({ file, line: 1 }, problem);
}

const inputField = ({ scale, offset }: CsvConfig, shape: number[]): Field => ({
  name: 'columns',
  role: 'input',
  shape,
  storage: 'float32',
  dtype: 'float32',
  scale,
  offset,
});

function targetField({ task }: CsvConfig, targets: number): Field {
  const common = { role: 'target', scale: 1, offset: 0 } as const;
  return task === 'classification'
    ? { ...common, name: 'label', shape: [], storage: 'int32', dtype: 'int32' }
    : { ...common, name: 'target', shape: [targets], storage: 'float32', dtype: 'float32' };
}

/** Numbers by value, anything else by code unit; so the classes do not depend on the order of the rows. */
function sortedLabels({ file, labels, targetColumns }: CsvTable): string[] {
  const names = [...labels.names];
  if (names.length < 2) {
    const problem = `expected at least two different labels, found ${JSON.stringify(names[0])} only`;
    throw invalidData({ file, column: targetColumns[0] }, problem);
  }
  const numeric = names.every((name) => Number.isFinite(Number(name)));
  return names.sort(numeric ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : 1));
}

function splitOf(table: CsvTable, classNames: readonly string[] | undefined): Split {
  const { inputs, samples, labels, weights } = table;
  if (!classNames) return { inputs, samples, weights, targets: table.targets };
  const classOf = labels.names.map((name, code) => {
    const found = classNames.indexOf(name);
    if (found >= 0) return found;
    const place = { file: table.file, line: labels.firstLines[code], column: table.targetColumns[0] };
    throw invalidData(
      place,
      `expected one of the ${classNames.length} labels ${someOf(classNames)}, found ${JSON.stringify(name)}`,
      {
        hint: 'List all labels in data.classes, or correct the file.',
      },
    );
  });
  return { inputs, samples, weights, targets: labels.codes.map((code) => classOf[code]) };
}

const someOf = (names: readonly string[]): string =>
  names
    .slice(0, 10)
    .map((name) => JSON.stringify(name))
    .join(', ') + (names.length > 10 ? ', …' : '');

function splitSource({ inputs, targets, weights, samples }: Split, inputWidth: number): SplitSource {
  const fields = [
    { values: inputs, width: inputWidth },
    { values: targets, width: targets.length / samples },
    { values: weights, width: 1 },
  ];
  return {
    samples,
    async readField(field, first, count) {
      const { values, width } = fields[field];
      return bytesOf(values.subarray(first * width, (first + count) * width));
    },
  };
}
