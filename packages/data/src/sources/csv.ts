/** CSV tables: numbers in, a label or numbers out. The numbers are kept in memory as float32, four bytes a value. */
import { resolve } from 'node:path';
import type { Field } from '@coord/protocol';
import type { CsvConfig } from '../config.js';
import { type CsvTable, type CsvTarget, readCsv } from '../csv.js';
import { invalidData } from '../invalid.js';
import { bytesOf, elementsOf, type Source, type SplitSource, WEIGHT_FIELD } from './source.js';

/** One field of a split: row by row, `width` values a sample. */
interface Values {
  readonly values: Float32Array | Int32Array;
  readonly width: number;
}

/** One target as the configuration describes it; the labels in the order of the classes, where it is a classification. */
interface Target {
  readonly name: string;
  readonly columns: readonly string[];
  readonly classNames: readonly string[] | undefined;
}

/** @throws CoordError DATASET_INVALID naming file, line and column. */
export async function openCsv(config: CsvConfig, directory: string): Promise<Source> {
  const train = await readCsv(resolve(directory, config.train), config);
  const columns = train.inputColumns;
  const shape = inputShape(config, train);
  const targets = targetsOf(config, train);
  // The training file decides which columns there are; the test file may order them otherwise.
  const test =
    config.test === undefined ? undefined : await readCsv(resolve(directory, config.test), { ...config, columns });
  const { classNames } = targets[0];
  return {
    name: 'csv',
    fields: [
      inputField(config, shape),
      ...targets.map(targetField),
      ...(config.weight === undefined ? [] : [WEIGHT_FIELD]),
    ],
    classes: classNames?.length,
    classNames,
    train: splitSource(train, targets),
    test: test && splitSource(test, targets),
  };
}

function targetsOf({ task, classes, furtherTargets }: CsvConfig, train: CsvTable): Target[] {
  const described = [{ name: task === 'classification' ? 'label' : 'target', task, classes }, ...furtherTargets];
  checkNames(train.file, described);
  return described.map((one, index) => ({
    name: one.name,
    columns: train.targets[index].columns,
    classNames:
      one.task === 'classification' ? (one.classes ?? sortedLabels(train.file, train.targets[index])) : undefined,
  }));
}

function checkNames(file: string, targets: readonly { name: string }[]): void {
  const names = targets.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return;
  throw invalidData({ file }, `two targets are called "${twice}"; the first one is called "${names[0]}" by itself`);
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

function targetField({ name, columns, classNames }: Target): Field {
  const common = { name, role: 'target', scale: 1, offset: 0 } as const;
  return classNames
    ? { ...common, shape: [], storage: 'int32', dtype: 'int32', classes: classNames.length }
    : { ...common, shape: [columns.length], storage: 'float32', dtype: 'float32' };
}

/** Numbers by value, anything else by code unit; so the classes do not depend on the order of the rows. */
function sortedLabels(file: string, { labels, columns }: CsvTarget): string[] {
  const names = [...labels.names];
  if (names.length < 2) {
    const problem = `expected at least two different labels, found ${JSON.stringify(names[0])} only`;
    throw invalidData({ file, column: columns[0] }, problem);
  }
  const numeric = names.every((name) => Number.isFinite(Number(name)));
  return names.sort(numeric ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : 1));
}

function targetValues(file: string, { columns, values, labels }: CsvTarget, classNames: Target['classNames']): Values {
  if (!classNames) return { values, width: columns.length };
  const classOf = labels.names.map((name, code) => {
    const found = classNames.indexOf(name);
    if (found >= 0) return found;
    const place = { file, line: labels.firstLines[code], column: columns[0] };
    throw invalidData(
      place,
      `expected one of the ${classNames.length} labels ${someOf(classNames)}, found ${JSON.stringify(name)}`,
      {
        hint: 'List all labels in data.classes, or correct the file.',
      },
    );
  });
  return { values: labels.codes.map((code) => classOf[code]), width: 1 };
}

const someOf = (names: readonly string[]): string =>
  names
    .slice(0, 10)
    .map((name) => JSON.stringify(name))
    .join(', ') + (names.length > 10 ? ', …' : '');

/** Fields in the order of the manifest: inputs, targets, weights. */
function splitSource(table: CsvTable, targets: readonly Target[]): SplitSource {
  const { file, inputs, inputColumns, weights, samples } = table;
  const fields: Values[] = [
    { values: inputs, width: inputColumns.length },
    ...table.targets.map((target, index) => targetValues(file, target, targets[index].classNames)),
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
