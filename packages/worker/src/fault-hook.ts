/**
 * Faults on order, for tests of the whole system. The environment variable COORD_FAULT of one worker process names one:
 *
 *   slow-grains=MS   every grain takes so much longer
 *
 * Nothing else reads the variable, and without it nothing happens (docs/testing.md).
 */
import { CoordError } from '@coord/protocol';

const VARIABLE = 'COORD_FAULT';

export interface FaultHook {
  /** Called when a grain has been computed. */
  afterGrain(): Promise<void>;
}

const NO_FAULT: FaultHook = { afterGrain: async () => {} };

/** @throws CoordError USAGE when the variable names no fault. */
export function faultFrom(env: Readonly<Record<string, string | undefined>>): FaultHook {
  const text = env[VARIABLE] ?? '';
  if (text === '') return NO_FAULT;
  const [, delayMs] = /^slow-grains=(\d+)$/.exec(text) ?? [];
  if (delayMs !== undefined) return slowGrains(Number(delayMs));
  throw new CoordError('USAGE', `${VARIABLE}=${text} names no fault`, {
    hint: 'It is for tests: slow-grains=MS. Unset it.',
  });
}

const slowGrains = (delayMs: number): FaultHook => ({
  afterGrain: () => new Promise((resolve) => setTimeout(resolve, delayMs)),
});
