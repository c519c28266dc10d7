import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runModelsShow } from '../src/commands/models-show.js';
import { loadConfig, parseConfig } from '../src/config/load.js';
import { parseOverride } from '../src/config/override.js';
import { toRunSpec } from '../src/config/run-spec.js';
import { createInitialState } from '../src/initial-state.js';
import type { CommandIo } from '../src/io.js';

const CONFIGS = fileURLToPath(new URL('../../../configs', import.meta.url));
const OWN = `${CONFIGS}/own-model.yaml`;

const specOf = async (...set: string[]) => {
  const config = await loadConfig(OWN, set.map(parseOverride));
  return (await toRunSpec(config, { runId: 'test', directory: CONFIGS })).spec;
};

describe('a model from a file', () => {
  it('needs no name', () => {
    const text = 'model: {file: a.ts}\ndata: {source: mnist}\n';
    expect(parseConfig({ file: 'run.yaml', text }).model).toEqual({ name: 'file', file: 'a.ts', options: {} });
  });

  it('becomes a topology under the name of its file, equal at every start', async () => {
    const [first, second] = [await specOf(), await specOf()];
    expect(first.model.name).toBe('own-model');
    expect(second.model).toEqual(first.model);
    expect(second.configSha256).toBe(first.configSha256);
    expect((await specOf('model.options.units=8')).configSha256).not.toBe(first.configSha256);
  });

  it('brings weights that the run starts with and that decide its hash', async () => {
    const spec = await specOf();
    const { layout, weights } = createInitialState({ spec });
    const given = layout.parameters.map(({ offset, size }) => weights.slice(offset, offset + size).fill(0.25));
    const state = createInitialState({ spec, modelWeights: given });
    expect(state.layout).toEqual(layout);
    expect(state.weights.filter((value) => value !== 0)).toEqual(
      new Float32Array(layout.parameters.reduce((sum, { size }) => sum + size, 0)).fill(0.25),
    );
  });
});

async function shown(target: string, ...set: string[]) {
  const lines: string[] = [];
  const stdout = { write: (text: string) => lines.push(text) };
  const io = { stdout, stderr: stdout, env: {} } as unknown as CommandIo;
  await runModelsShow(target, { json: true, set }, io);
  return JSON.parse(lines.join(''));
}

describe('coord models show', () => {
  it('counts what the seed CNN costs', async () => {
    const { name, parameters, flops, layers } = await shown('cnn');
    expect([name, parameters, layers.length]).toEqual(['cnn', 93_322, 8]);
    expect(layers[2]).toEqual({
      name: 'conv2',
      className: 'Conv2D',
      outputShapes: [[11, 11, 64]],
      parameters: 3 * 3 * 32 * 64 + 64,
      flops: 2 * 11 * 11 * 64 * 3 * 3 * 32,
    });
    expect(flops).toBe(layers.reduce((sum: number, layer: { flops: number }) => sum + layer.flops, 0));
  });

  it('takes options, files and configurations', async () => {
    expect((await shown('mlp', 'hidden=[3]', 'classes=2')).parameters).toBe(784 * 3 + 3 + 3 * 2 + 2);
    expect((await shown(`${CONFIGS}/own-model.ts`, 'units=5')).layers[2].outputShapes).toEqual([[5]]);
    expect((await shown(OWN)).layers[2].outputShapes).toEqual([[24]]);
  });

  it.each([
    ['resnet-18', 'resnet', [], 1.11e9],
    ['resnet-34', 'resnet', ['depth=34'], 2.32e9],
    ['resnet-50', 'resnet', ['depth=50'], 2.6e9],
  ])('%s on 32×32 pixels has the operations that are quoted for it', async (_, name, set, flops) => {
    expect(Math.abs((await shown(name, ...set)).flops / flops - 1)).toBeLessThan(0.02);
  });

  it('gives notice of layers that are unrolled over many steps', async () => {
    const { warnings } = await shown('transformer-classifier');
    expect(warnings).toEqual([]);
  });

  it.each([
    ['cmn', 'MODEL_UNKNOWN'],
    ['nowhere.ts', 'MODEL_INVALID'],
    ['nowhere.yaml', 'CONFIG_NOT_FOUND'],
  ])('refuses %s', async (target, code) => {
    await expect(shown(target)).rejects.toMatchObject({ code });
  });
});
