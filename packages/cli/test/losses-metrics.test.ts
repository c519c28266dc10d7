/** `loss` and `metrics`: what may be written, what becomes of it in the run specification, and what is refused. */
import type { RunSpec } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../src/config/load.js';
import { parseOverride } from '../src/config/override.js';
import { canonicalJson, toRunSpec } from '../src/config/run-spec.js';
import { evaluationTexts, matrixTables, metricRows, metricTexts } from '../src/view/metrics.js';

const TINY = `
model: {name: mlp, inputShape: [4, 4, 1], hidden: [8], classes: 3}
data: {source: synthetic, samples: 100, testSamples: 20, shape: [4, 4, 1], classes: 3}
`;

const configOf = (...set: string[]) => parseConfig({ file: 'tiny.yaml', text: TINY }, set.map(parseOverride));
const specOf = async (...set: string[]): Promise<RunSpec> =>
  (await toRunSpec(configOf(...set), { runId: 'test', directory: '.' })).spec;

const messageOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it was accepted');
};

describe('loss', () => {
  const CROSS_ENTROPY = { name: 'categoricalCrossentropy', weight: 1, labelSmoothing: 0, fromLogits: false };

  it('may be a name, a mapping, a mapping without the default name, or a list', async () => {
    expect((await specOf()).loss).toEqual([CROSS_ENTROPY]);
    expect((await specOf('loss={labelSmoothing: 0.1}')).loss).toEqual([{ ...CROSS_ENTROPY, labelSmoothing: 0.1 }]);
    expect((await specOf('loss=[klDivergence]')).loss).toEqual([{ name: 'klDivergence', weight: 1 }]);
    expect((await specOf('loss={name: sparseCategoricalCrossentropy, weight: 2}')).loss).toEqual([
      { name: 'sparseCategoricalCrossentropy', weight: 2, fromLogits: false },
    ]);
  });

  it('decides the weights: every option changes the hash, the same in other words does not', async () => {
    const hashes = await Promise.all(
      ['loss=categoricalCrossentropy', 'loss={name: categoricalCrossentropy}', 'loss={labelSmoothing: 0.1}'].map(
        async (set) => (await specOf(set)).configSha256,
      ),
    );
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[2]).not.toBe(hashes[0]);
    expect((await specOf('data.weighted=true')).configSha256).not.toBe(hashes[0]);
    expect((await specOf('metrics=[mse]')).configSha256).toBe(hashes[0]);
  });

  it('has class weights by number, 1 where one is left out', async () => {
    const { loss } = await specOf('loss={classWeights: {"2": 5}}');
    expect(loss).toEqual([{ ...CROSS_ENTROPY, classWeights: [1, 1, 5] }]);
  });

  it('has balanced class weights from the labels of the training split', async () => {
    const { loss, data } = await specOf('loss={classWeights: balanced}');
    const [{ classWeights }] = loss as { classWeights: number[] }[];
    // samples ÷ (classes × samples of the class): weighted, every class counts a third.
    const counts = classWeights.map((weight) => data.train.samples / (3 * weight));
    expect(counts.map((count) => Math.abs(count - Math.round(count)) < 1e-9)).toEqual([true, true, true]);
    expect(Math.round(counts.reduce((sum, count) => sum + count, 0))).toBe(100);
  });

  it('survives a resume: the written configuration gives the same specification', async () => {
    const set = ['loss={labelSmoothing: 0.1, classWeights: balanced}', 'metrics=[accuracy, {name: topK, k: 2}]'];
    const again = parseConfig({ file: 'config.json', text: JSON.stringify(configOf(...set)) });
    const { spec } = await toRunSpec(again, { runId: 'test', directory: '.' });
    expect(canonicalJson(spec)).toBe(canonicalJson(await specOf(...set)));
  });

  it.each([
    ['loss=crossentropy', /loss: unknown name "crossentropy"; expected one of .*categoricalCrossentropy/],
    ['loss={name: huberr}', /loss\.name: unknown name "huberr"; .*did you mean "huber"/],
    ['loss={name: huber, delta: 0}', /loss\.delta: expected more than 0/],
    ['loss={name: huber, labelSmoothing: 0.1}', /loss\.labelSmoothing: unknown key "labelSmoothing"/],
    ['loss={labelSmoothing: 1}', /loss\.labelSmoothing: expected less than 1/],
    ['loss=7', /loss: the number 7 is not valid; expected one of categoricalCrossentropy/],
    ['metrics=[acuracy]', /metrics\.0: unknown name "acuracy"; .*did you mean "accuracy"/],
    ['metrics=[{name: topK, k: 0}]', /metrics\.0\.k: expected at least 1/],
    ['metrics=accuracy', /metrics: expected a list/],
  ])('%s is refused with a place and a remedy', (set, message) => {
    expect(messageOf(() => configOf(set))).toMatch(message);
  });

  it.each([
    ['loss=[huber, huber]', /`loss` lists 2 losses; the model has 1 outputs/],
    ['loss={classWeights: {"3": 2}}', /names the class "3"; the classes are the numbers 0 to 2/],
    ['metrics=[{name: topK, k: 3}]', /topK with k = 3 is always right: the output has 3 classes/],
    ['metrics=[{name: mae, output: size}]', /mae is of the output "size", but the targets are label/],
    ['metrics=[mse, mse]', /mse is listed twice/],
    ['metrics=[{name: auc, bins: 65536}]', /they would count 393216 numbers; the limit is 131072/],
  ])('%s is refused when the run is prepared', async (set, message) => {
    await expect(specOf(set)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(message),
    });
  });

  it('and metrics that mean nothing beside it are refused', async () => {
    await expect(specOf('loss=categoricalHinge', 'metrics=[perplexity]')).rejects.toThrow(/needs probabilities/);
    await expect(specOf('loss=meanSquaredError', 'metrics=[f1]')).rejects.toThrow(
      /f1 means nothing for an output with the loss meanSquaredError/,
    );
  });
});

describe('metrics', () => {
  it('are accuracy by default, where it has a meaning', async () => {
    const ofLabels = { output: 0, kind: 'classes', classes: 3, places: 1 };
    expect((await specOf()).metrics).toEqual([{ name: 'accuracy', key: 'accuracy', ofAll: true, ...ofLabels }]);
    expect((await specOf('loss=meanSquaredError')).metrics).toEqual([]);
    expect((await specOf('metrics=[]')).metrics).toEqual([]);
  });

  it('have keys that say which they are', async () => {
    const set = 'metrics=[{name: topK, k: 2}, f1, {name: f1, average: micro}, auc]';
    expect((await specOf(set)).metrics.map(({ key }) => key)).toEqual(['top2', 'f1', 'f1Micro', 'auc']);
  });

  const VALUES = {
    loss: 0.5,
    accuracy: 0.75,
    metrics: {
      top2: 0.9,
      'size.mae': 0.125,
      auc: null,
      confusionMatrix: [
        [12, 3],
        [1, 1000],
      ],
    },
  };

  it('are shown as shares or numbers; what has no value as a dash, matrices as a table', () => {
    expect(metricTexts(VALUES).join(' · ')).toBe(
      'loss 0.5000 · accuracy 75.00 % · top2 90.00 % · size.mae 0.1250 · auc –',
    );
    expect(evaluationTexts({ ...VALUES, accuracy: null }, 'test ')[0]).toBe('test loss 0.5000');
    expect(metricRows(VALUES)).toEqual([
      ['top2', '90.00 %'],
      ['size.mae', '0.1250'],
      ['auc', '–'],
    ]);
    expect(matrixTables(VALUES, ['cat', 'dog'])).toEqual([
      'confusionMatrix (rows: the target, columns: what the model said)\n     cat    dog\n───  ───  ─────\ncat   12      3\ndog    1  1,000',
    ]);
  });

  it('leave out tables that no screen holds', () => {
    const rows = Array.from({ length: 40 }, () => Array.from({ length: 40 }, () => 0));
    expect(matrixTables({ metrics: { confusionMatrix: rows } })).toEqual([
      expect.stringMatching(/40 classes are too many for a table/),
    ]);
  });
});
