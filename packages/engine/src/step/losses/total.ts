/**
 * A step's loss: over outputs, the sum of weight × loss; over samples, the sum of sample weight × mean over places of class
 * weight × loss. Weights scale losses and nothing else: the divisor of the mean stays the number of samples, since it must
 * be known before the step, and by every worker alike.
 */
import type { LossSpec } from '@coord/protocol';
import { tf } from '../../tensors.js';
import { meanPerSample } from './loss.js';
import { lossRuleOf } from './registry.js';

/** One output of the model with its target. */
export interface LossTerm {
  readonly spec: LossSpec;
  readonly output: tf.Tensor;
  readonly target: tf.Tensor;
  /** The output stands before the softmax or sigmoid that the loss would apply. */
  readonly isLogits: boolean;
}

export interface StepSums {
  /** float32 scalars. */
  readonly loss: tf.Tensor;
  /** Right answers; their mean over outputs where several have such. */
  readonly correct: tf.Tensor;
}

/** @param sampleWeights float32 [count] */
export function sumsOf(terms: readonly LossTerm[], sampleWeights: tf.Tensor | undefined): StepSums {
  const hits = terms.flatMap(({ spec, output, target, isLogits }) => {
    const { correct } = lossRuleOf(spec);
    return correct ? [tf.sum(correct(output, target, isLogits))] : [];
  });
  return { loss: total(terms.map((term) => lossOf(term, sampleWeights))), correct: meanOf(hits) };
}

export const total = (terms: readonly tf.Tensor[]): tf.Tensor => terms.reduce((sum, term) => tf.add(sum, term));

function lossOf({ spec, output, target, isLogits }: LossTerm, sampleWeights: tf.Tensor | undefined): tf.Tensor {
  const rule = lossRuleOf(spec);
  const losses = rule.perPlace(output, target, { spec, isLogits });
  const classWeights = 'classWeights' in spec ? spec.classWeights : undefined;
  const balanced =
    classWeights && rule.classWeights ? tf.mul(losses, rule.classWeights(output, target, classWeights)) : losses;
  const perSample = meanPerSample(balanced);
  return scaled(tf.sum(sampleWeights ? tf.mul(perSample, sampleWeights) : perSample), spec.weight);
}

const scaled = (x: tf.Tensor, factor: number): tf.Tensor => (factor === 1 ? x : tf.mul(x, factor));

const meanOf = (hits: readonly tf.Tensor[]): tf.Tensor =>
  hits.length === 0 ? tf.scalar(0) : scaled(total(hits), 1 / hits.length);
