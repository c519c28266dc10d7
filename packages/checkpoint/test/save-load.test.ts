import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createArena, hashState, hashWeights, type TrainingState } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { findCheckpoints, latestCheckpoint, loadCheckpoint, resolveCheckpoint, saveCheckpoint } from '../src/index.js';
import { infoOfStep, stateOfStep } from './children/states.mjs';
import { scratch } from './scratch.js';

const save = (runDir: string, step: number, keepLast = 10, info = infoOfStep(step)) =>
  saveCheckpoint(runDir, stateOfStep(step), info, { keepLast });
const namesIn = async (runDir: string) => (await readdir(join(runDir, 'checkpoints'))).sort();

function expectSame(actual: TrainingState, expected: TrainingState): void {
  expect(actual).toEqual(expected);
  expect([...actual.slots.keys()]).toEqual([...expected.slots.keys()]);
  expect(hashState(actual)).toBe(hashState(expected));
}

describe('a saved checkpoint', () => {
  it('gives back the same state, bit by bit, and says where the run stood', async () => {
    const runDir = await scratch();
    const state = stateOfStep(938);
    state.weights.set([Number.NaN, -0, Number.NEGATIVE_INFINITY, 1e-45]);
    const { path, manifest } = await saveCheckpoint(runDir, state, infoOfStep(938), { keepLast: 3 });
    const loaded = await loadCheckpoint(path);
    expect(path).toBe(join(runDir, 'checkpoints', 'step-00000938'));
    expectSame(loaded.state, state);
    expect(loaded.manifest).toEqual(manifest);
    expect(manifest).toMatchObject({
      ...infoOfStep(938),
      step: 938,
      weightsSha256: hashWeights(state.layout, state.weights),
    });
  });

  it('can come from shared memory and from an optimizer without slots', async () => {
    const runDir = await scratch();
    const { layout, weights, exponents } = stateOfStep(1);
    const arena = createArena(weights.byteLength + exponents.byteLength);
    const shared = { weights: arena.float32(weights.length), exponents: arena.uint8(exponents.length) };
    shared.weights.set(weights);
    shared.exponents.set(exponents);
    const state = { step: 7, layout, slots: new Map(), ...shared };
    const { path } = await saveCheckpoint(runDir, state, infoOfStep(7), { keepLast: 1 });
    expectSame((await loadCheckpoint(path)).state, { ...state, weights, exponents });
  });

  it('leaves nothing beside it', async () => {
    const runDir = await scratch();
    const { path } = await save(runDir, 5);
    expect(await namesIn(runDir)).toEqual(['step-00000005']);
    expect((await readdir(path)).sort()).toEqual(['manifest.json', 'optimizer.safetensors', 'weights.safetensors']);
  });

  it('is kept as it is when the same one is saved again', async () => {
    const runDir = await scratch();
    const first = await save(runDir, 5);
    expect(await save(runDir, 5)).toEqual(first);
    expect(await namesIn(runDir)).toEqual(['step-00000005']);
  });

  it('does not overwrite another checkpoint of the same step, and is the newer one', async () => {
    const runDir = await scratch();
    await save(runDir, 5);
    const { path } = await save(runDir, 5, 10, { ...infoOfStep(5), configSha256: 'cd'.repeat(32) });
    expect(await namesIn(runDir)).toEqual(['step-00000005', 'step-00000005.1']);
    expect((await latestCheckpoint(runDir))?.path).toBe(path);
  });

  it('takes the place of a torn one of the same step', async () => {
    const runDir = await scratch();
    const { path } = await save(runDir, 5);
    await writeFile(join(path, 'manifest.json'), '{');
    const again = await save(runDir, 5);
    expectSame((await loadCheckpoint(again.path)).state, stateOfStep(5));
    expect(await namesIn(runDir)).toEqual(['step-00000005.1']);
  });

  it('is refused when the padding holds something, because that would be lost', async () => {
    const runDir = await scratch();
    const state = stateOfStep(1);
    state.slots.get('secondMoment')![250] = 1;
    await expect(saveCheckpoint(runDir, state, infoOfStep(1), { keepLast: 1 })).rejects.toMatchObject({
      code: 'CHECKPOINT_WRITE_FAILED',
      message: expect.stringContaining('the padding of secondMoment after parameter dense/kernel is not zero'),
    });
    expect(await findCheckpoints(runDir)).toEqual([]);
  });

  it('that cannot be written says where and why, and leaves the older ones', async () => {
    const runDir = await scratch();
    await writeFile(join(runDir, 'checkpoints'), 'a file in the way');
    await expect(save(runDir, 1)).rejects.toMatchObject({
      code: 'CHECKPOINT_WRITE_FAILED',
      message: expect.stringContaining('checkpoint of step 1 could not be written'),
      facts: { step: 1, errno: expect.stringMatching(/EEXIST|ENOTDIR/) },
    });
  });
});

describe('retention', () => {
  it('keeps the newest ones and removes the oldest', async () => {
    const runDir = await scratch();
    for (const step of [1, 2, 3, 100_000_000]) await save(runDir, step, 2);
    expect(await namesIn(runDir)).toEqual(['step-00000003', 'step-100000000']);
    await save(runDir, 100_000_001, 1);
    expect(await namesIn(runDir)).toEqual(['step-100000001']);
  });

  it('does not count torn checkpoints', async () => {
    const runDir = await scratch();
    await save(runDir, 1);
    const torn = await save(runDir, 2);
    await rm(join(torn.path, 'optimizer.safetensors'));
    await save(runDir, 3, 2);
    expect(await namesIn(runDir)).toEqual(['step-00000001', 'step-00000003']);
  });

  it('never removes what was just written, even where later steps exist', async () => {
    const runDir = await scratch();
    for (const step of [8, 9]) await save(runDir, step);
    await save(runDir, 6, 2);
    expect(await namesIn(runDir)).toEqual(['step-00000006', 'step-00000009']);
  });

  it('leaves directories alone that are not its own', async () => {
    const runDir = await scratch();
    await mkdir(join(runDir, 'checkpoints', 'best'), { recursive: true });
    for (const step of [1, 2]) await save(runDir, step, 1);
    expect(await namesIn(runDir)).toEqual(['best', 'step-00000002']);
  });

  it('of none at all is a mistake', async () => {
    await expect(save(await scratch(), 1, 0)).rejects.toThrow('keepLast is 0; it must be 1 or more');
  });
});

describe('finding checkpoints', () => {
  it('gives none for a run without any, or without a directory', async () => {
    const runDir = await scratch();
    expect(await findCheckpoints(join(runDir, 'nowhere'))).toEqual([]);
    expect(await latestCheckpoint(runDir)).toBeUndefined();
  });

  it('lists them by step and skips torn ones', async () => {
    const runDir = await scratch();
    for (const step of [20, 3, 100]) await save(runDir, step);
    await cp(join(runDir, 'checkpoints', 'step-00000003'), join(runDir, 'checkpoints', 'step-00000050'), {
      recursive: true,
    });
    await rm(join(runDir, 'checkpoints', 'step-00000050', 'weights.safetensors'));
    expect((await findCheckpoints(runDir)).map(({ step }) => step)).toEqual([3, 20, 100]);
  });

  it('takes the newest that is intact: a flipped bit counts as torn', async () => {
    const runDir = await scratch();
    await save(runDir, 1);
    const { path } = await save(runDir, 2);
    await flip(join(path, 'weights.safetensors'), 500, 1);
    expect((await latestCheckpoint(runDir))?.step).toBe(1);
  });

  it('resolves a checkpoint to itself and a run to its newest', async () => {
    const runDir = await scratch();
    const { path } = await save(runDir, 1);
    const newest = await save(runDir, 2);
    expect(await resolveCheckpoint(path)).toBe(path);
    expect(await resolveCheckpoint(runDir)).toBe(newest.path);
    await expect(resolveCheckpoint(join(runDir, 'x'))).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
      message: expect.stringContaining('there is no checkpoint at'),
      hint: expect.stringContaining('Give a directory that `coord start` made'),
    });
    await expect(resolveCheckpoint(dirname(runDir))).rejects.toMatchObject({
      message: expect.stringContaining('is neither a run with checkpoints nor a checkpoint'),
    });
    await rm(join(path, 'manifest.json'));
    await expect(resolveCheckpoint(path)).rejects.toMatchObject({
      message: expect.stringContaining('holds no intact checkpoint'),
      hint: expect.stringContaining(newest.path),
    });
  });
});

async function flip(file: string, at: number, mask: number): Promise<void> {
  const content = await readFile(file);
  content[at] ^= mask;
  await writeFile(file, content);
}
