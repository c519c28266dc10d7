/**
 * A step's tally for one purpose: which outputs it must see, and what it counts in them. Both engines share it: they hand over
 * the numbers that the model gave, so a tally costs a step nothing but the reading of its outputs.
 */
import { type Batch, type Purpose, type TallyPart, tallyParts, tallySize } from '@coord/protocol';
import type { PreparedStep } from '../step/prepare.js';
import { observe } from './observe.js';
import { predictionsOf } from './predictions.js';

export class StepTally {
  private readonly parts: readonly TallyPart[];
  /** Numbers of the outputs that are looked at. */
  readonly outputs: readonly number[];

  constructor(
    private readonly step: PreparedStep,
    purpose: Purpose,
  ) {
    this.parts = tallyParts(step.spec.metrics ?? [], purpose);
    this.outputs = [...new Set(this.parts.map(({ of }) => of.output))].sort((a, b) => a - b);
  }

  /** @param outputOf the elements of an output of the trained model, before the activation that was taken off. */
  count(batch: Batch, outputOf: (output: number) => Float32Array): { tally?: number[] } {
    if (this.parts.length === 0) return {};
    const counts = new Float64Array(tallySize(this.parts));
    let at = 0;
    for (const { statistic, of, size } of this.parts) {
      const { output, classes } = of;
      const seen = predictionsOf(this.step, output, classes, outputOf(output), batch.targets[output]);
      observe(statistic, seen, counts.subarray(at, at + size));
      at += size;
    }
    return { tally: [...counts] };
  }
}
