import { describe, expect, it } from 'vitest';
import { prepare, readSamples } from './datasets.js';
import { coordErrorOf, directoryWith } from './files.js';

const FLOWERS = 'length,width,kind\n5.1,3.5,setosa\n6.2,2.9,virginica\n4.9,3.0,setosa\n';
const CONFIG = { source: 'csv', train: 'train.csv', target: 'kind', task: 'classification' };

const open = async (train: string, config: object = {}, test = '') =>
  prepare({ ...CONFIG, ...config }, await directoryWith({ 'train.csv': train, 'test.csv': test }));

const problemOf = (train: string, config: object = {}, test = '') => coordErrorOf(open(train, config, test));

describe('a CSV dataset', () => {
  it('gives all columns but the target as inputs, and labels numbered in sorted order', async () => {
    const dataset = await open(FLOWERS);
    const batch = await readSamples(dataset, [1, 2]);
    expect(batch.inputs).toEqual([Float32Array.of(6.2, 2.9, 4.9, 3)]);
    expect(batch.targets).toEqual([Int32Array.of(1, 0)]);
    expect(dataset.classNames).toEqual(['setosa', 'virginica']);
    expect(dataset.manifest.classes).toBe(2);
  });

  it('sorts numeric labels by value', async () => {
    const dataset = await open('x,kind\n1,10\n2,9\n3,2\n');
    expect(dataset.classNames).toEqual(['2', '9', '10']);
  });

  it('takes columns, classes, shape, scale and offset from the configuration', async () => {
    const config = {
      columns: ['width', 'length'],
      classes: ['virginica', 'setosa'],
      shape: [2, 1],
      scale: 2,
      offset: 1,
    };
    const dataset = await open(FLOWERS, config);
    const batch = await readSamples(dataset, [0]);
    expect(dataset.manifest.fields[0].shape).toEqual([2, 1]);
    expect(batch.inputs[0]).toEqual(Float32Array.of(8, Math.fround(5.1) * 2 + 1));
    expect(batch.targets[0]).toEqual(Int32Array.of(1));
  });

  it('takes sample weights from a column of their own, which is no input', async () => {
    const dataset = await open('x,kind,w\n1,a,0.5\n2,b,3\n3,a,0\n', { weight: 'w' });
    const batch = await readSamples(dataset, [2, 0]);
    expect(batch.inputs).toEqual([Float32Array.of(3, 1)]);
    expect(batch.sampleWeights).toEqual(Float32Array.of(0, 0.5));
    expect(dataset.manifest.fields.map(({ role }) => role)).toEqual(['input', 'target', 'weight']);
    expect(await readSamples(await open(FLOWERS), [0])).not.toHaveProperty('sampleWeights');
  });

  it('gives a model of several outputs a target each', async () => {
    const furtherTargets = [
      { name: 'size', columns: ['a', 'b'], task: 'regression' },
      { name: 'colour', columns: 'c', task: 'classification', classes: ['red', 'blue'] },
    ];
    const dataset = await open('x,kind,a,b,c\n1,m,2,3,blue\n4,n,5,6,red\n', { furtherTargets });
    const batch = await readSamples(dataset, [0, 1]);
    expect(batch.inputs).toEqual([Float32Array.of(1, 4)]);
    expect(batch.targets).toEqual([Int32Array.of(0, 1), Float32Array.of(2, 3, 5, 6), Int32Array.of(1, 0)]);
    expect(dataset.manifest.fields.map(({ name, classes }) => [name, classes])).toEqual([
      ['columns', undefined],
      ['label', 2],
      ['size', undefined],
      ['colour', 2],
    ]);
  });

  it('counts the labels of its training split, of the samples that are used', async () => {
    const rows = 'x,kind\n1,a\n2,b\n3,a\n4,a\n5,b\n';
    expect(await (await open(rows)).countLabels('label', 2)).toEqual([3, 2]);
    expect(await (await open(rows, { limit: { train: 3 } })).countLabels('label', 3)).toEqual([2, 1, 0]);
    await expect((await open('x,kind\n1,a\n2,b\n3,c\n')).countLabels('label', 2)).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: 'csv has the label 2; the model tells 2 classes apart',
    });
  });

  it('gives the numbers to predict in a regression', async () => {
    const dataset = await open('a,b,c\n1,2,3e-1\n-4,.5,6\n', { task: 'regression', target: ['c', 'a'] });
    const batch = await readSamples(dataset, [0, 1]);
    expect(dataset.manifest.fields[1]).toMatchObject({ shape: [2], dtype: 'float32' });
    expect(batch.inputs[0]).toEqual(Float32Array.of(2, 0.5));
    expect(batch.targets[0]).toEqual(Float32Array.of(0.3, 1, 6, -4));
    expect(dataset.manifest.classes).toBeUndefined();
  });

  it('finds the test file’s columns by name, whatever their order', async () => {
    const dataset = await open(FLOWERS, { test: 'test.csv' }, 'kind,width,length\nsetosa,1,2\n');
    expect((await readSamples(dataset, [0], 'test')).inputs[0]).toEqual(Float32Array.of(2, 1));
  });

  it('reads quotes, a byte-order mark, CRLF and another delimiter', async () => {
    const dataset = await open('\ufeff"x";kind\r\n"1.5";"a;""b"\r\n2;c\r\n', { delimiter: ';' });
    expect(dataset.classNames).toEqual(['a;"b', 'c']);
    expect((await readSamples(dataset, [0, 1])).inputs[0]).toEqual(Float32Array.of(1.5, 2));
  });

  it('keeps many rows in order over many blocks', async () => {
    const rows = Array.from({ length: 5000 }, (_, row) => `${row},${row % 2}`);
    const directory = await directoryWith({ 'train.csv': `x,kind\n${rows.join('\n')}\n` });
    const dataset = await prepare(CONFIG, directory, 1000);
    expect(dataset.manifest.train.blocks.length).toBe(Math.ceil(5000 / 125));
    expect((await readSamples(dataset, [4999, 0, 125, 124])).inputs[0]).toEqual(Float32Array.of(4999, 0, 125, 124));
  });
});

describe('a bad CSV file', () => {
  const cases: [what: string, train: string, config: object, message: RegExp][] = [
    ['empty', '', {}, /train.csv, line 1: expected a header line, found an empty file/],
    ['without rows', 'length,kind\n', {}, /train.csv, line 2: expected rows after the header, found none/],
    [
      'with a word for a number',
      'x,kind\n1,a\nsmall,b\n',
      {},
      /train.csv, line 3, column "x": expected a number, found "small"/,
    ],
    ['with an empty cell', 'x,kind\n,a\n', {}, /train.csv, line 2, column "x": expected a number, found an empty cell/],
    ['with a hexadecimal number', 'x,kind\n0x10,a\n', {}, /line 2, column "x": expected a number, found "0x10"/],
    ['with a number beyond float32', 'x,kind\n1e39,a\n', {}, /line 2, column "x": expected a number, found "1e39"/],
    ['with an empty label', 'x,kind\n1,\n', {}, /line 2, column "kind": expected a label, found an empty cell/],
    [
      'with one label only',
      'x,kind\n1,a\n2,a\n',
      {},
      /train.csv, column "kind": expected at least two different labels, found "a" only/,
    ],
    ['with a short row', 'x,y,kind\n1,2,a\n1,b\n', {}, /train.csv, line 3: not well-formed CSV/],
    ['with an open quote', 'x,kind\n1,"a\n2,b\n', {}, /train.csv, line \d: not well-formed CSV: Quote Not Closed/],
    ['with two columns of one name', 'x,x,kind\n1,2,a\n', {}, /line 1, column "x": two columns have this name/],
    ['without the target', 'x,y\n1,2\n', {}, /line 1, column "kind": the header has no such column/],
    ['without an input column', 'kind\na\n', {}, /line 1: expected at least one column beside the target/],
    ['that the shape does not fit', FLOWERS, { shape: [3] }, /data.shape 3 does not hold the 2 input columns/],
    [
      'with an unlisted label',
      FLOWERS,
      { classes: ['setosa', 'rose'] },
      /line 3, column "kind": expected one of the 2 labels "setosa", "rose", found "virginica"/,
    ],
    [
      'with a negative weight',
      'x,kind,w\n1,a,1\n2,b,-1\n',
      { weight: 'w' },
      /line 3, column "w": expected a weight of at least 0, found -1/,
    ],
    [
      'with two targets of one name',
      FLOWERS,
      { furtherTargets: [{ name: 'label', columns: 'width', task: 'regression' }] },
      /two targets are called "label"; the first one is called "label" by itself/,
    ],
    [
      'with two targets to classify',
      FLOWERS,
      { target: ['kind', 'width'] },
      /a classification has one target column, not 2/,
    ],
  ];
  it.each(cases)('%s is refused with its place', async (_what, train, config, message) => {
    const error = await problemOf(train, config);
    expect(error.code).toBe('DATASET_INVALID');
    expect(error.message).toMatch(message);
  });

  it('with a label that only the test file has is refused with its place and a remedy', async () => {
    const error = await problemOf(FLOWERS, { test: 'test.csv' }, 'length,width,kind\n1,2,setosa\n1,2,rose\n');
    expect(error.message).toMatch(/test.csv, line 3, column "kind": .* found "rose"/);
    expect(error.hint).toMatch(/data.classes/);
  });

  it('without the wanted column lists the columns there are', async () => {
    const error = await problemOf(FLOWERS, { columns: ['lenght'] });
    expect(error.hint).toBe('The columns are "length", "width", "kind".');
  });
});
