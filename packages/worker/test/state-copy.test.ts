import { createLayout, encodeMessage, hashWeights, LIMITS, type RunSpec, type StateReply } from '@coord/protocol';
import { referenceKernels } from '@coord/ring';
import { createLinkPair } from '@coord/transport/testing';
import { describe, expect, it } from 'vitest';
import { sourceRanks } from '../src/catch-up.js';
import { HostState } from '../src/host-state.js';
import { copyState, type StateSource } from '../src/state-copy.js';
import { StateFollower } from '../src/state-follower.js';
import { piecesOf } from '../src/state-pieces.js';
import { StateServer } from '../src/state-server.js';
import { UpdateCopies } from '../src/update-copies.js';

/** Larger than one message may carry. */
const LAYOUT = createLayout([
  { name: 'kernel', shape: [300_000], role: 'trainable' },
  { name: 'bias', shape: [7], role: 'trainable' },
]);
const RUN = { schedule: { name: 'constant' }, optimizer: { name: 'sgd', learningRate: 1 } } as unknown as RunSpec;

function stateOf(step: number): HostState {
  const { totalSize, blockCount } = LAYOUT;
  const numbers = (offset: number) => Float32Array.from({ length: totalSize }, (_, index) => offset + step + index / 8);
  const slots = new Map([['momentum', numbers(1)]]);
  const exponents = new Uint8Array(blockCount).fill(step);
  const state = new HostState(LAYOUT, numbers(0), slots, exponents, referenceKernels.checksum);
  state.step = step;
  state.weightsSha256 = hashWeights(LAYOUT, state.weights);
  return state;
}

function sourceOver(server: StateServer, label = 'a peer'): StateSource {
  return {
    label,
    async open() {
      const [near, far] = createLinkPair();
      server.serve(far).catch((error) => far.close(String(error)));
      return near;
    },
  };
}

/** A host that trains: its updates are pure functions of state and mean gradient. */
function trainer(step: number) {
  const state = stateOf(step);
  const mean = new Float32Array(LAYOUT.totalSize);
  const compute = {
    mean,
    async apply() {
      for (let index = 0; index < mean.length; index++) state.weights[index] -= mean[index];
      // As the optimizer does, which regularizes in place.
      mean.fill(0);
      return { weightsSha256: hashWeights(LAYOUT, state.weights) };
    },
  };
  return { state, parts: { run: RUN, totalSteps: 1000, compute, state } };
}

async function trainOneStep({ state, parts }: ReturnType<typeof trainer>, server: StateServer): Promise<void> {
  const { mean, apply } = parts.compute;
  mean.fill(state.step + 0.5);
  const exponents = new Uint8Array(LAYOUT.blockCount).fill(100 + state.step);
  server.beforeUpdate(mean, exponents);
  await state.mutate(async () => {
    state.weightsSha256 = (await apply()).weightsSha256;
    state.exponents.set(exponents);
    state.step++;
  });
  server.afterUpdate({ step: state.step, weightsSha256: state.weightsSha256, skipped: false });
}

/** Of a state that was at step 0 before. */
function expectUntouched(state: HostState): void {
  expect(state.isTorn).toBe(false);
  expect(state.replacements).toBe(0);
  expect(state.testimony()).toEqual(stateOf(0).testimony());
}

describe('a copy', () => {
  it.each([1, 2, 3, 4])('from %i sources is the same state, bit by bit', async (count) => {
    const sources = Array.from({ length: count }, () => sourceOver(new StateServer(stateOf(5))));
    const target = stateOf(0);
    expect(await copyState(sources, target, 5)).toBeUndefined();
    expect(target.testimony()).toEqual(stateOf(5).testimony());
    expect(target.isTorn).toBe(false);
  });

  it('of a step to come is taken when that step is complete, and sent while the next ones change the state', async () => {
    const host = trainer(3);
    const server = new StateServer(host.state);
    const target = stateOf(0);
    const copied = copyState([sourceOver(server), sourceOver(server)], target, 5);
    for (let step = 0; step < 4; step++) {
      await new Promise((resolve) => setImmediate(resolve));
      await trainOneStep(host, server);
    }
    expect(await copied).toBeUndefined();
    expect(target.step).toBe(5);
    expect(hashWeights(LAYOUT, target.weights)).toBe(target.weightsSha256);
    expect(host.state.step).toBe(7);
  });

  it('of a step that has passed is refused, and says where the source is', async () => {
    const target = stateOf(0);
    expect(await copyState([sourceOver(new StateServer(stateOf(9)))], target, 5)).toBe(9);
    expectUntouched(target);
  });

  it('from sources that differ is never used', async () => {
    const odd = stateOf(5);
    odd.weights[4] += 1;
    const target = stateOf(0);
    const sources = [sourceOver(new StateServer(stateOf(5))), sourceOver(new StateServer(odd), 'the odd one')];
    await expect(copyState(sources, target, 5)).rejects.toMatchObject({ code: 'STATE_UNAVAILABLE' });
    expectUntouched(target);
  });

  it('whose source is lost on the way leaves the state as it was', async () => {
    const [near, far] = createLinkPair();
    const lost: StateSource = { label: 'lost', open: async () => near };
    const sendHalf = async () => {
      await far.receive();
      const { weightsSha256 } = stateOf(5);
      const begin = { type: 'copy-begin', step: 5, weightsSha256, checkNumber: stateOf(5).checkNumber() } as const;
      await far.send(encodeMessage(begin satisfies StateReply));
      await far.send(encodeMessage({ type: 'piece', data: Buffer.alloc(1000, 7) } satisfies StateReply));
      far.cut();
    };
    void sendHalf();
    const target = stateOf(0);
    await expect(copyState([lost], target, 5)).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    expectUntouched(target);
    // Nobody has to be asked for the old one: the next copy can be from anybody else.
    expect(await copyState([sourceOver(new StateServer(stateOf(5)))], target, 5)).toBeUndefined();
    expect(target.testimony()).toEqual(stateOf(5).testimony());
  });

  it('goes in pieces that fit a message', () => {
    const sections = [new Uint8Array(LIMITS.stateChunkBytes + 10), new Uint8Array(5), new Uint8Array(7)];
    const sizes = piecesOf(sections, 4, LIMITS.stateChunkBytes + 18).map(({ byteLength }) => byteLength);
    expect(sizes).toEqual([LIMITS.stateChunkBytes, 6, 5, 3]);
  });
});

describe('a follower', () => {
  it('makes every update that its source makes, to the same bits', async () => {
    const host = trainer(3);
    const server = new StateServer(host.state);
    const copy = trainer(0);
    const follower = await StateFollower.open(sourceOver(server), copy.parts);
    expect(follower.since).toBe(3);
    await copyState([sourceOver(server)], copy.state, 3);
    follower.begin();
    for (let step = 0; step < 6; step++) await trainOneStep(host, server);
    expect(await follower.reach(9, new AbortController().signal)).toBe(true);
    await follower.close();
    expect(copy.state.weightsSha256).toBe(host.state.weightsSha256);
    expect(Buffer.compare(Buffer.from(copy.state.weights.buffer), Buffer.from(host.state.weights.buffer))).toBe(0);
  });

  it('is not held up by updates that the copied state has in it already, however many', async () => {
    const host = trainer(3);
    const server = new StateServer(host.state);
    const copy = trainer(0);
    const follower = await StateFollower.open(sourceOver(server), copy.parts);
    for (let step = 0; step < 9; step++) await trainOneStep(host, server);
    await copyState([sourceOver(server)], copy.state, 12);
    follower.begin();
    await trainOneStep(host, server);
    expect(await follower.reach(13, new AbortController().signal)).toBe(true);
    await follower.close();
    expect(copy.state.weightsSha256).toBe(host.state.weightsSha256);
  });

  it('that is held makes only what is asked for, and goes on when it is released', async () => {
    const host = trainer(3);
    const server = new StateServer(host.state);
    const copy = trainer(0);
    const follower = await StateFollower.open(sourceOver(server), copy.parts);
    await copyState([sourceOver(server)], copy.state, 3);
    follower.begin();
    await follower.hold();
    for (let step = 0; step < 3; step++) await trainOneStep(host, server);
    for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(copy.state.step).toBe(3);
    const { signal } = new AbortController();
    expect(await follower.reach(5, signal)).toBe(true);
    for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(copy.state.step).toBe(5);
    follower.release();
    expect(await follower.reach(6, signal)).toBe(true);
    await follower.close();
    expect(copy.state.weightsSha256).toBe(host.state.weightsSha256);
  });

  it('that comes to other weights says so and is torn', async () => {
    const host = trainer(3);
    const server = new StateServer(host.state);
    const copy = trainer(0);
    const follower = await StateFollower.open(sourceOver(server), copy.parts);
    await copyState([sourceOver(server)], copy.state, 3);
    copy.state.weights[0] += 1;
    follower.begin();
    await trainOneStep(host, server);
    expect(await follower.reach(5, new AbortController().signal)).toBe(false);
    expect(copy.state.isTorn).toBe(true);
  });

  it('does not reach a step that its source never comes to', async () => {
    const host = trainer(3);
    const copy = trainer(3);
    const follower = await StateFollower.open(sourceOver(new StateServer(host.state)), copy.parts);
    follower.begin();
    const giveUp = new AbortController();
    const reached = follower.reach(4, giveUp.signal);
    giveUp.abort();
    expect(await reached).toBe(false);
    await follower.close();
  });
});

describe('copies of updates', () => {
  it('stay as they are until they are given back, and use the same memory then', () => {
    const copies = new UpdateCopies();
    const source = Uint8Array.of(1, 2, 3);
    const [first, second] = [copies.take([source]), copies.take([source])];
    source.fill(9);
    const third = copies.take([source]);
    expect([first, second, third].map(([bytes]) => [...bytes])).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [9, 9, 9],
    ]);
    copies.giveBack(first);
    expect(copies.take([source])[0]).toBe(first[0]);
    expect([...first[0]]).toEqual([9, 9, 9]);
  });

  it('of several followers are the same, and right, though one of them is lost', async () => {
    const host = trainer(3);
    const server = new StateServer(host.state);
    const followed = await Promise.all(
      [0, 1, 2].map(async () => {
        const copy = trainer(0);
        const follower = await StateFollower.open(sourceOver(server), copy.parts);
        await copyState([sourceOver(server)], copy.state, 3);
        follower.begin();
        return { copy, follower };
      }),
    );
    const [lost, ...rest] = followed;
    for (let step = 0; step < 10; step++) {
      if (step === 4) await lost.follower.close();
      await trainOneStep(host, server);
      for (let turns = 0; turns < step; turns++) await new Promise((resolve) => setImmediate(resolve));
    }
    for (const { copy, follower } of rest) {
      expect(await follower.reach(13, new AbortController().signal)).toBe(true);
      expect(copy.state.weightsSha256).toBe(host.state.weightsSha256);
      await follower.close();
    }
  });
});

describe('the sources of a newcomer', () => {
  it('are at most four, different, and spread over the ring', () => {
    expect(sourceRanks(1, 0)).toEqual([0]);
    expect(sourceRanks(3, 1)).toEqual([1, 2, 0]);
    expect(sourceRanks(8, 6)).toEqual([6, 0, 2, 4]);
  });
});
