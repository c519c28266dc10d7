/** Whether losses fit the model's outputs and targets: said before anything is traced. */
import { CoordError, type Field, type LossSpec } from '@coord/protocol';
import { lossRuleOf } from './registry.js';

/** What is known of one output. */
export interface OutputFacts {
  /** Extent of its last axis; undefined where the model leaves it open. */
  readonly classes: number | undefined;
  readonly target: Field;
  /** The loss's activation stands at the end of the model. */
  readonly endsInActivation: boolean;
}

/** @throws CoordError LOSS_INVALID naming the output */
export function checkLoss(spec: LossSpec, output: number, facts: OutputFacts): void {
  checkLogits(spec, output, facts);
  checkTarget(spec, output, facts);
  if ('classWeights' in spec && spec.classWeights) checkClassWeights(spec.name, spec.classWeights, output, facts);
}

function checkLogits(spec: LossSpec, output: number, { endsInActivation }: OutputFacts): void {
  if (!('fromLogits' in spec) || !spec.fromLogits || !endsInActivation) return;
  const { logitsOf } = lossRuleOf(spec);
  throw misfit(
    output,
    `the loss ${spec.name} is told that it sees logits (fromLogits), but the output ends in a ${logitsOf}, which would be applied twice`,
    'Leave fromLogits out: coord computes on logits by itself where it can.',
  );
}

function checkTarget(spec: LossSpec, output: number, { target }: OutputFacts): void {
  if (spec.name !== 'sparseCategoricalCrossentropy' || target.dtype === 'int32') return;
  throw misfit(
    output,
    `the loss ${spec.name} wants integer labels, but the target ${target.name} is ${target.dtype}`,
    'Use categoricalCrossentropy for targets that are distributions.',
  );
}

function checkClassWeights(name: string, weights: readonly number[], output: number, { classes }: OutputFacts): void {
  const isBinary = name === 'binaryCrossentropy' || name === 'hinge' || name === 'squaredHinge';
  const wanted = isBinary ? 2 : classes;
  if (wanted === undefined || weights.length === wanted) return;
  throw misfit(
    output,
    `the loss ${name} has ${weights.length} class weights for ${wanted} classes`,
    'Give every class one weight.',
  );
}

export const misfit = (output: number, message: string, hint: string): CoordError =>
  new CoordError('LOSS_INVALID', `loss and model do not fit at output ${output}: ${message}`, {
    hint,
    facts: { output },
  });
