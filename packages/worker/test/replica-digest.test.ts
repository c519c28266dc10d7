import { createLayout, hashWeights } from '@coord/protocol';
import { referenceKernels } from '@coord/ring';
import { describe, expect, it } from 'vitest';
import { HostState } from '../src/host-state.js';
import { DIGEST_BYTES, isUnanimous, SPREAD_BYTES, spreadDigest } from '../src/replica-digest.js';
import { applyUpdate, type UpdateParts } from '../src/update.js';
import { testRun } from './scripted-coordinator.js';

const LAYOUT = createLayout([{ name: 'dense/kernel', shape: [20, 30], role: 'trainable' }]);

function replica(): HostState {
  const weights = Float32Array.from({ length: LAYOUT.totalSize }, (_, index) => index / 8);
  const exponents = new Uint8Array(LAYOUT.blockCount).fill(7);
  const state = new HostState(LAYOUT, weights, new Map(), exponents, referenceKernels.checksum);
  state.weightsSha256 = hashWeights(LAYOUT, weights);
  return state;
}

/** What the ring makes of what the replicas bring to the maxima. */
function areAlike(...replicas: readonly HostState[]): boolean {
  const spreads = replicas.map((state) => {
    const bytes = new Uint8Array(SPREAD_BYTES);
    spreadDigest(state.digest(), bytes);
    return bytes;
  });
  return isUnanimous(spreads[0].map((_, index) => Math.max(...spreads.map((bytes) => bytes[index]))));
}

/** A step whose gradient was not finite: nothing is applied. */
const skip = (state: HostState, step: number) => {
  const parts = { run: testRun(), totalSteps: 10, state } as unknown as UpdateParts;
  return applyUpdate(parts, { step, skipped: true, exponents: state.exponents });
};

describe('replicas', () => {
  it('are alike while weights, exponents and step are', async () => {
    const replicas = [replica(), replica(), replica()];
    expect(areAlike(...replicas)).toBe(true);
    for (const state of replicas) await skip(state, 0);
    expect(areAlike(...replicas)).toBe(true);
    expect(replicas[0].digest()).toHaveLength(DIGEST_BYTES);
  });

  it('differ when one of them has left a skipped update out: nothing but the step tells', async () => {
    const [one, other] = [replica(), replica()];
    await skip(one, 0);
    expect(one.weights).toEqual(other.weights);
    expect(areAlike(one, other)).toBe(false);
    await skip(other, 0);
    expect(areAlike(one, other)).toBe(true);
  });

  it('tell at no cost what their updates came to, and by reading it what their memory holds', () => {
    const [one, other] = [replica(), replica()];
    expect(one.updateNumber()).toBe(other.updateNumber());
    new Uint32Array(other.weights.buffer, other.weights.byteOffset)[3] ^= 1;
    expect(one.updateNumber()).toBe(other.updateNumber());
    expect(one.checkNumber()).not.toBe(other.checkNumber());
    other.weightsSha256 = hashWeights(LAYOUT, other.weights);
    expect(one.updateNumber()).not.toBe(other.updateNumber());
    one.exponents[0]++;
    expect(one.updateNumber()).not.toBe(replica().updateNumber());
  });

  it('differ by one bit of a weight, by the hash that they believe in, and by an exponent', () => {
    for (const change of [
      (state: HostState) => (new Uint32Array(state.weights.buffer, state.weights.byteOffset)[3] ^= 1),
      (state: HostState) => {
        state.weightsSha256 = hashWeights(LAYOUT, new Float32Array(LAYOUT.totalSize));
      },
      (state: HostState) => state.exponents[0]++,
    ]) {
      const odd = replica();
      change(odd);
      expect(areAlike(replica(), odd, replica())).toBe(false);
    }
  });
});
