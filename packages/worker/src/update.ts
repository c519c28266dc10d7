/** One optimizer update: from a step's mean gradient to the next state. A pure function of both, so whoever has them gets the same bits. */
import { learningRateAt } from '@coord/engine';
import type { RunSpec } from '@coord/protocol';
import { rememberExponents } from '@coord/ring';
import type { Compute } from './compute/compute-pool.js';
import type { HostState } from './host-state.js';

export interface UpdateParts {
  readonly run: RunSpec;
  readonly totalSteps: number;
  /** Its `mean` is the step's mean gradient. */
  readonly compute: Pick<Compute, 'apply' | 'mean'>;
  readonly state: HostState;
}

export interface StepResult {
  /** Updates completed before this one. */
  readonly step: number;
  /** The state's step grows, and nothing else changes: a gradient was not finite. */
  readonly skipped: boolean;
  /** Largest exponents of the step's grains, a block each. */
  readonly exponents: Uint8Array;
}

export async function applyUpdate({ run, totalSteps, compute, state }: UpdateParts, result: StepResult): Promise<void> {
  const { step, skipped, exponents } = result;
  await state.mutate(async () => {
    if (!skipped) {
      const rate = learningRateAt(run.schedule, run.optimizer.learningRate, step, totalSteps);
      state.weightsSha256 = (await compute.apply(step, rate)).weightsSha256;
      rememberExponents(state.exponents, exponents);
    }
    state.step = step + 1;
  });
}
