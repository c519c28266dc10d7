import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listModels } from '@coord/models';
import { CoordError } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { loadConfig, parseConfig } from '../src/config/load.js';
import { parseOverride } from '../src/config/override.js';
import type { StartOptions } from '../src/options.js';
import { overridesOf } from '../src/overrides-of.js';

const MODELS = [...listModels().map(({ name }) => name), 'file'].join(', ');
const MINIMAL = 'model:\n  name: cnn\ndata:\n  source: mnist\n';

const parse = (text: string, ...set: string[]) => parseConfig({ file: 'run.yaml', text }, set.map(parseOverride));

function problemsOf(text: string, ...set: string[]): CoordError {
  try {
    parse(text, ...set);
  } catch (error) {
    if (error instanceof CoordError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('a configuration', () => {
  it('needs no more than a model and a dataset; the rest are defaults', () => {
    const config = parse(MINIMAL);
    expect(config.batch).toEqual({ grains: 4, grainSize: 16 });
    expect(config.optimizer).toEqual({ name: 'adam', learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 });
    expect(config.model).toEqual({
      name: 'cnn',
      inputShape: [28, 28, 1],
      filters: [32, 64, 64],
      hiddenUnits: 64,
      classes: 10,
    });
    expect(config.workers).toBe(2);
    expect(config.maxSteps).toBeUndefined();
  });

  it('is read from every file in configs/', async () => {
    const root = new URL('../../../configs/', import.meta.url);
    for (const name of ['mnist-cnn.yaml', 'mnist-mlp.yaml', 'synthetic-tiny.yaml', 'synthetic-metrics.yaml']) {
      const config = await loadConfig(new URL(name, root).pathname);
      expect(config.batch.grains, name).toBeGreaterThan(1);
    }
  });

  it('may leave out the name of the default optimizer and schedule', () => {
    const config = parse(`${MINIMAL}optimizer: {learningRate: 0.01}\nschedule: {warmupSteps: 10}\n`);
    expect(config.optimizer).toMatchObject({ name: 'adam', learningRate: 0.01 });
    expect(config.schedule).toEqual({ name: 'constant', warmupSteps: 10 });
  });

  it('survives being written as JSON and read again, as a resumed run does', () => {
    const config = parse(MINIMAL, 'schedule={name: cosine, warmupSteps: 5}', 'data.limit.train=640');
    expect(parse(JSON.stringify(config))).toEqual(config);
  });
});

describe('--set', () => {
  it('reads values with the syntax of YAML', () => {
    const config = parse(
      MINIMAL,
      'optimizer.learningRate=1e-2',
      'model.filters=[8, 8, 8]',
      'schedule={name: cosine, floor: 0.1}',
      'maxSteps=7',
    );
    expect(config.optimizer).toMatchObject({ name: 'adam', learningRate: 0.01 });
    expect(config.model).toMatchObject({ filters: [8, 8, 8] });
    expect(config.schedule).toEqual({ name: 'cosine', floor: 0.1, warmupSteps: 0 });
    expect(config.maxSteps).toBe(7);
  });

  it('reaches into lists by number', () => {
    expect(parse(`${MINIMAL}`, 'model.filters=[8, 8, 8]', 'model.filters.1=9').model).toMatchObject({
      filters: [8, 9, 8],
    });
  });

  it('wins over the file, and the last one wins over those before it', () => {
    expect(parse(`${MINIMAL}epochs: 3\n`, 'epochs=4', 'epochs=5').epochs).toBe(5);
  });
});

describe('a wrong configuration', () => {
  it('says which file is not there', async () => {
    await expect(loadConfig('no/such.yaml')).rejects.toMatchObject({
      code: 'CONFIG_NOT_FOUND',
      message: 'cannot read the configuration no/such.yaml (ENOENT)',
    });
  });

  it('names the file as it was given', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'coord-config-'));
    const file = join(directory, 'wrong.yaml');
    await writeFile(file, `${MINIMAL}epoch: 1\n`);
    await expect(loadConfig(file)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `the configuration ${file} has one problem:\n  ${file}:5:1: epoch: unknown key "epoch"; did you mean "epochs"?`,
      facts: { file, line: 5, column: 1, key: 'epoch' },
    });
  });

  it.each([
    ['an unclosed list', 'a: [1\nb: 2\n', 'run.yaml:2:1: malformed YAML: Flow sequence in block collection'],
    ['a repeated key', `${MINIMAL}seed: 1\nseed: 2\n`, 'run.yaml:6:1: malformed YAML: Map keys must be unique'],
    ['an alias of nothing', 'model: *nothing\n', 'run.yaml: malformed YAML: Unresolved alias'],
    ['a list at the top', '- 1\n', 'run.yaml:1:1: expected a mapping, found a list of 1'],
    ['nothing at all', '', 'run.yaml:1:1: model: missing key "model"; expected a mapping'],
    ['no dataset', 'model: {name: cnn}\n', 'run.yaml:1:1: data: missing key "data"; expected a mapping'],
    [
      'a model without a name',
      'model:\n  filters: [1, 2, 3]\ndata: {source: mnist}\n',
      `run.yaml:1:1: model.name: missing key "name"; expected one of ${MODELS}`,
    ],
    [
      'a misspelt name of the key itself',
      'model: {nam: cnn}\ndata: {source: mnist}\n',
      `model.name: missing key "name"; expected one of ${MODELS} ("nam" stands there)`,
    ],
    [
      'an unknown model',
      'model:\n  name: cnm\ndata: {source: mnist}\n',
      `run.yaml:2:9: model.name: unknown name "cnm"; expected one of ${MODELS}; did you mean "cnn"?`,
    ],
    [
      'an unknown optimizer',
      `${MINIMAL}optimizer:\n  name: adamm\n`,
      'run.yaml:6:9: optimizer.name: unknown name "adamm"; expected one of sgd, momentum, rmsprop, adam, adamw; did you mean "adam"?',
    ],
    [
      'an unknown dataset',
      'model: {name: cnn}\ndata:\n  source: mnits\n',
      'run.yaml:3:11: data.source: unknown name "mnits"; expected one of mnist, idx, csv, text, synthetic; did you mean "mnist"?',
    ],
    [
      'an unknown loss',
      `${MINIMAL}loss: categoricalCrossEntropy\n`,
      'run.yaml:5:7: loss: unknown name "categoricalCrossEntropy"; expected one of categoricalCrossentropy',
    ],
    [
      'an unknown key inside',
      `${MINIMAL}batch:\n  grain: 4\n`,
      'run.yaml:6:3: batch.grain: unknown key "grain"; did you mean "grains"?',
    ],
    [
      'a key of another optimizer',
      `${MINIMAL}optimizer:\n  name: sgd\n  beta1: 0.5\n`,
      'run.yaml:7:3: optimizer.beta1: unknown key "beta1"',
    ],
    [
      'an option that the model has not',
      'model:\n  name: cnn\n  hiddenUnit: 3\ndata: {source: mnist}\n',
      'run.yaml:3:3: model.hiddenUnit: unknown key "hiddenUnit"; did you mean "hiddenUnits"?',
    ],
    [
      'a text for a number',
      `${MINIMAL}batch:\n  grains: four\n`,
      'run.yaml:6:11: batch.grains: expected an integer, found the text "four"',
    ],
    ['a fraction', `${MINIMAL}epochs: 1.5\n`, 'run.yaml:5:9: epochs: expected an integer, found the number 1.5'],
    ['a value too small', `${MINIMAL}epochs: 0\n`, 'run.yaml:5:9: epochs: expected at least 1, found the number 0'],
    [
      'a value too large',
      `${MINIMAL}optimizer: {name: adam, beta1: 1}\n`,
      'run.yaml:5:32: optimizer.beta1: expected less than 1, found the number 1',
    ],
    ['a null', `${MINIMAL}seed:\n`, 'seed: expected an integer, found nothing'],
    [
      'a text for a mapping',
      'model: cnn\ndata: {source: mnist}\n',
      'run.yaml:1:8: model: expected a mapping, found the text "cnn"',
    ],
    [
      'an address without a port',
      `${MINIMAL}listen: localhost\n`,
      'listen: expected HOST:PORT, as in 0.0.0.0:7070, found the text "localhost"',
    ],
    [
      'a port that cannot be',
      `${MINIMAL}listen: localhost:70700\n`,
      'listen: expected a port of at most 65535, found the text "localhost:70700"',
    ],
    [
      'what two keys say together',
      'model: {name: mlp}\ndata:\n  source: text\n  file: a\n  sequenceLength: 3\n  test: b\n  testFraction: 0.5\n',
      'run.yaml:7:17: data.testFraction: expected either test or testFraction, not both',
    ],
  ])('with %s is refused with its place', (_, text, expected) => {
    const error = problemsOf(text);
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain(expected);
  });

  it('has all of its problems listed at once, in the order of the file', () => {
    const error = problemsOf(`${MINIMAL}epochs: 0\nbatch:\n  grains: many\nlisten: 1\nevaluate: 2\n`);
    const lines = error.message.split('\n');
    expect(lines[0]).toBe('the configuration run.yaml has 4 problems:');
    expect(lines.slice(1).map((line) => /:(\d+):\d+:/.exec(line)?.[1])).toEqual(['5', '7', '8', '9']);
  });

  it.each([
    ['epochs', 'expected key.path=value, as in --set optimizer.learningRate=0.01'],
    ['=3', 'expected key.path=value'],
    ['batch..grains=3', 'expected a path of keys joined by dots'],
    ['__proto__.polluted=3', 'expected a path of keys joined by dots'],
    ['seed=[1', 'the value is not valid YAML: Flow sequence'],
    ['batch.grains=many', 'batch.grains: expected an integer, found the text "many"'],
    ['optimzer.name=sgd', 'optimzer: unknown key "optimzer"; did you mean "optimizer"?'],
    ['batch.grain=3', 'batch.grain: unknown key "grain"; did you mean "grains"?'],
    ['optimizer.nam=sgd', 'optimizer.nam: unknown key "nam"; did you mean "name"?'],
    ['data={sorce: mnist}', 'data.source: missing key "source"; expected one of mnist'],
    ['model.filters=[1, 2]', 'model.filters: expected at least 3 entries, found a list of 2'],
  ])('names the flag --set %s', (flag, expected) => {
    const error = problemsOf(MINIMAL, flag);
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(`--set ${flag}: ${expected}`);
  });

  it('cannot be made to explode by aliases of aliases', () => {
    const level = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(`*${of}`).join(', ')}]\n`;
    const text = `a: &a [x]\n${level('b', 'a')}${level('c', 'b')}${level('d', 'c')}${level('e', 'd')}`;
    expect(problemsOf(text).message).toContain('Excessive alias count');
  });
});

describe('a flag of coord start', () => {
  const flagged = (options: StartOptions) => parseConfig({ file: 'run.yaml', text: MINIMAL }, overridesOf(options));

  it('that names a NATS server has it used, and means nothing where another says otherwise', () => {
    const nats = 'nats://127.0.0.1:4222';
    expect(flagged({ nats })).toMatchObject({ transport: 'nats', nats });
    expect(() => flagged({ nats, transport: 'ws' })).toThrow('means nothing with --transport ws');
    expect(flagged({ nats, set: ['transport=ws'] })).toMatchObject({ transport: 'nats' });
  });

  it('is a number where one is wanted, and a text where a text is', () => {
    expect(flagged({ workers: '3', seed: '7' })).toMatchObject({ workers: 3, seed: 7 });
    expect(() => flagged({ workers: 'three' })).toThrow(
      '--workers three: workers: expected an integer, found the text',
    );
    expect(() => flagged({ listen: '7070' })).toThrow('--listen 7070: listen: expected HOST:PORT');
  });
});
