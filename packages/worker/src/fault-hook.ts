/**
 * Faults on order, for tests of the whole system. The environment variable COORD_FAULT of one worker process names one:
 *
 *   slow-grains=MS     every grain takes so much longer
 *   slow-links=MBITS   gradients leave at so many Mbit/s
 *   flip-weight=STEP   after update STEP (from 1), one bit of the weights changes in memory
 *   wrong-update=STEP  update STEP itself comes to a weight with one other bit; repeated with STEP,STEP
 *
 * Nothing else reads the variable, and without it nothing happens (docs/testing.md).
 */
import { type Clock, CoordError, hashWeights } from '@coord/protocol';
import type { PeerNetwork } from '@coord/transport';
import type { HostState } from './host-state.js';
import { limitNetwork } from './limited-network.js';

const VARIABLE = 'COORD_FAULT';

/** What a fault may change. */
type Replica = Pick<HostState, 'step' | 'weights' | 'layout' | 'weightsSha256'>;

export interface FaultHook {
  /** Called when a grain has been computed. */
  afterGrain(): Promise<void>;
  /** Called when an update has been applied. */
  afterUpdate(state: Replica): void;
  /** Called with the host's network; returns the one that it is to use. */
  around(network: PeerNetwork, clock: Clock): PeerNetwork;
}

const NO_FAULT: FaultHook = { afterGrain: async () => {}, afterUpdate() {}, around: (network) => network };

/** @throws CoordError USAGE when the variable names no fault. */
export function faultFrom(env: Readonly<Record<string, string | undefined>>): FaultHook {
  const text = env[VARIABLE] ?? '';
  if (text === '') return NO_FAULT;
  const [, name, numbers] = /^([a-z-]+)=(\d+(?:,\d+)*)$/.exec(text) ?? [];
  const values = (numbers ?? '').split(',').map(Number);
  if (name === 'slow-grains') return slowGrains(values[0]);
  if (name === 'slow-links' && values[0] > 0) return slowLinks(values[0]);
  if (name === 'flip-weight') return wrongWeights(values, false);
  if (name === 'wrong-update') return wrongWeights(values, true);
  throw new CoordError('USAGE', `${VARIABLE}=${text} names no fault`, {
    hint: 'It is for tests: slow-grains=MS, slow-links=MBITS, flip-weight=STEP, wrong-update=STEP. Unset it.',
  });
}

const slowGrains = (delayMs: number): FaultHook => ({
  ...NO_FAULT,
  afterGrain: () => new Promise((resolve) => setTimeout(resolve, delayMs)),
});

const slowLinks = (megabits: number): FaultHook => ({
  ...NO_FAULT,
  around: (network, clock) => limitNetwork(network, (megabits * 1e6) / 8, clock),
});

/** @param isHashed the replica believes in the wrong weights: its own hash is of them. */
const wrongWeights = (steps: readonly number[], isHashed: boolean): FaultHook => {
  const due = new Set(steps);
  return {
    ...NO_FAULT,
    afterUpdate(state) {
      // Once each: a step that is computed again comes out right.
      if (!due.delete(state.step)) return;
      flipBit(state.weights);
      if (isHashed) state.weightsSha256 = hashWeights(state.layout, state.weights);
    },
  };
};

/** The lowest bit of the mantissa: nothing that a loss would show. */
function flipBit(weights: Float32Array): void {
  const bits = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
  bits[0] ^= 1;
}
