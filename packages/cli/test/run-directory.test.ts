import { cp, mkdir, mkdtemp, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveCheckpoint } from '@coord/checkpoint';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../src/config/load.js';
import { toRunSpec } from '../src/config/run-spec.js';
import type { RunConfig } from '../src/config/schema.js';
import { createInitialState, resumeState } from '../src/initial-state.js';
import { openCheckpoint } from '../src/open-checkpoint.js';
import { createRunDirectory, readRunRecord, runDirectoryOf, runName } from '../src/run-directory.js';

const TINY = `
model: {name: mlp, inputShape: [4, 4, 1], hidden: [8], classes: 3}
data: {source: synthetic, samples: 100, shape: [4, 4, 1], classes: 3}
`;
const config = parseConfig({ file: 'tiny.yaml', text: TINY });
const recordOf = (configSha256: string) => ({
  runId: 'k3f9',
  configSha256,
  createdAt: '2026-01-31T12:00:00.000Z',
  configFile: 'tiny.yaml',
  directory: '.',
  config,
});

let runDir = '';

beforeEach(async () => {
  runDir = join(await mkdtemp(join(tmpdir(), 'coord-run-')), 'run');
});

const specOf = async (of: RunConfig) => (await toRunSpec(of, { runId: 'k3f9', directory: '.' })).spec;

/** A run directory with one checkpoint after `step`. */
async function makeRun(step: number) {
  const spec = await specOf(config);
  await createRunDirectory(runDir, recordOf(spec.configSha256));
  const state = { ...createInitialState({ spec }), step };
  const info = { runId: 'k3f9', epoch: 0, position: 0, seed: spec.seed, configSha256: spec.configSha256, config };
  const { path } = await saveCheckpoint(runDir, state, info, { keepLast: 3 });
  return { spec, state, path };
}

describe('a run directory', () => {
  it('is named so that it sorts by time and says what it is', () => {
    expect(runName(new Date('2026-01-31T12:00:00.500Z'), 'cnn', 'k3f9')).toBe('2026-01-31T12-00-00-cnn-k3f9');
  });

  it('gives back the record that it was made with', async () => {
    await createRunDirectory(runDir, recordOf('ab'));
    expect(await readRunRecord(runDir)).toMatchObject(recordOf('ab'));
  });

  it('may be one that exists, if it holds no run yet', async () => {
    await mkdir(runDir, { recursive: true });
    await createRunDirectory(runDir, recordOf('ab'));
    await expect(createRunDirectory(runDir, recordOf('cd'))).rejects.toMatchObject({
      code: 'USAGE',
      message: `${runDir} already holds a run`,
      hint: expect.stringContaining('--resume'),
    });
  });

  it('with a damaged record says which file and what is wrong with it', async () => {
    await createRunDirectory(runDir, recordOf('ab'));
    const file = join(runDir, 'config.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.slice(0, text.length / 2));
    await expect(readRunRecord(runDir)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      message: expect.stringContaining(`${file} is damaged:`),
    });
    await writeFile(file, text.replace('"grains": 4', '"grains": 0'));
    await expect(readRunRecord(runDir)).rejects.toMatchObject({ message: expect.stringContaining('batch.grains') });
  });

  it('is found from one of its checkpoints', async () => {
    const { path } = await makeRun(3);
    expect(runDirectoryOf(path)).toBe(runDir);
    expect(runDirectoryOf(runDir)).toBe(runDir);
    expect(runDirectoryOf(tmpdir())).toBeUndefined();
  });
});

describe('RUN_OR_CHECKPOINT', () => {
  it('is a run, with its newest checkpoint, or that checkpoint itself', async () => {
    const { path, state } = await makeRun(3);
    for (const given of [runDir, path]) {
      const opened = await openCheckpoint(given);
      expect(opened.path).toBe(path);
      expect(opened.state.weights).toEqual(state.weights);
      expect(opened.record.config).toEqual(config);
    }
  });

  it('may be a checkpoint that was copied out of its run: it holds the configuration', async () => {
    const { path, spec } = await makeRun(3);
    const copy = join(await mkdtemp(join(tmpdir(), 'coord-copy-')), 'step-00000003');
    await cp(path, copy, { recursive: true });
    const opened = await openCheckpoint(copy);
    expect(opened.record.config).toEqual(config);
    expect(opened.record.configSha256).toBe(spec.configSha256);
  });
});

describe('resuming', () => {
  it('takes the newest checkpoint, or starts over where there is none', async () => {
    const spec = await specOf(config);
    await createRunDirectory(runDir, recordOf(spec.configSha256));
    expect((await resumeState({ runDir, prepared: { spec }, before: config, now: config })).state.step).toBe(0);
    const info = { runId: 'k3f9', epoch: 0, position: 0, seed: spec.seed, configSha256: spec.configSha256, config };
    await saveCheckpoint(runDir, { ...createInitialState({ spec }), step: 1 }, info, { keepLast: 3 });
    expect((await resumeState({ runDir, prepared: { spec }, before: config, now: config })).state.step).toBe(1);
  });

  it('says which newer checkpoints are damaged, whether an older one is there to go on from or not', async () => {
    const { spec, state, path } = await makeRun(0);
    const info = { runId: 'k3f9', epoch: 0, position: 0, seed: spec.seed, configSha256: spec.configSha256, config };
    const newer = await saveCheckpoint(runDir, { ...state, step: 1 }, info, { keepLast: 3 });
    const resume = () => resumeState({ runDir, prepared: { spec }, before: config, now: config });
    expect((await resume()).notes).toEqual([]);
    await truncate(join(newer.path, 'weights.safetensors'), 10);
    const oneLost = await resume();
    expect(oneLost.state.step).toBe(0);
    expect(oneLost.notes).toEqual([expect.stringContaining(`${newer.path} is damaged`)]);
    await truncate(join(path, 'manifest.json'), 10);
    expect((await resume()).notes).toHaveLength(2);
  });

  it('refuses a configuration that decides other weights, and names the keys', async () => {
    await makeRun(1);
    const now: RunConfig = { ...config, seed: 7, optimizer: { name: 'sgd', learningRate: 1 } };
    const spec = await specOf(now);
    await expect(resumeState({ runDir, prepared: { spec }, before: config, now })).rejects.toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
      message: expect.stringContaining('changed: optimizer, seed'),
    });
  });

  it('says that a run is complete, and how to train it further', async () => {
    const { spec } = await makeRun(2);
    await expect(resumeState({ runDir, prepared: { spec }, before: config, now: config })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('complete'),
      hint: expect.stringContaining('--set epochs='),
    });
    const further = { ...config, epochs: 2 };
    const { state } = await resumeState({
      runDir,
      prepared: { spec: await specOf(further) },
      before: config,
      now: further,
    });
    expect(state.step).toBe(2);
  });
});
