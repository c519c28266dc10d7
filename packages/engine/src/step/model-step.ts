/**
 * The step in tfjs operations: forward, loss, backward. Both engines run these very functions, one on the `cpu` backend, one
 * on the backend that records.
 */

import { modelFromTopology } from '@coord/models';
import type { Field } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../tensors.js';
import { layersWithin } from './layer-tree.js';
import { LOSS_RULES } from './losses/registry.js';
import { withOwnGradients } from './own-gradients.js';
import { penaltiesOf } from './penalties.js';
import type { PreparedStep } from './prepare.js';
import { repairLayers } from './repairs/repair-layers.js';

/** A model with its variables in layout order. */
export interface StepModel {
  readonly model: tfl.LayersModel;
  readonly variables: readonly tf.Variable[];
  /** Those that are trained: neither statistics nor of a frozen layer. */
  readonly trained: tf.Variable[];
  dispose(): void;
}

/** Weights are zero until the caller sets them. */
export function buildModel(topology: string): StepModel {
  const model = modelFromTopology(topology, { initialise: false });
  repairLayers(layersWithin(model));
  const variablesOf = (weights: readonly tfl.LayerVariable[]) => weights.map((weight) => weight.read() as tf.Variable);
  const [variables, trained] = [variablesOf(model.weights), variablesOf(model.trainableWeights)];
  return { model, variables, trained, dispose: () => void model.dispose() };
}

export interface StepSums {
  /** float32 scalars. */
  readonly loss: tf.Tensor;
  readonly correct: tf.Tensor;
}

export interface GradientResult extends StepSums {
  /** In layout order; undefined where the loss does not depend on the parameter. */
  readonly gradients: readonly (tf.Tensor | undefined)[];
}

const list = (tensors: tf.Tensor | tf.Tensor[]): tf.Tensor[] => [tensors].flat();

function apply(model: tfl.LayersModel, inputs: readonly tf.Tensor[], training: boolean): tf.Tensor[] {
  const argument = inputs.length === 1 ? inputs[0] : [...inputs];
  return list(model.apply(argument, { training }) as tf.Tensor | tf.Tensor[]);
}

/** Sums over samples and outputs. */
function sumsOf(step: PreparedStep, outputs: readonly tf.Tensor[], targets: readonly tf.Tensor[]): StepSums {
  const { perSample, correct } = LOSS_RULES[step.spec.loss];
  const isLogits = (index: number) => step.finalActivations[index] !== undefined;
  const losses = outputs.map((output, index) => tf.sum(perSample(output, targets[index], isLogits(index))));
  const hits = correct ? outputs.map((output, index) => tf.sum(correct(output, targets[index], isLogits(index)))) : [];
  return { loss: total(losses), correct: hits.length > 0 ? total(hits) : tf.scalar(0) };
}

const total = (terms: readonly tf.Tensor[]): tf.Tensor => terms.reduce((sum, term) => tf.add(sum, term));

/**
 * @returns gradients of the summed loss, penalties of the layers' regularizers included (once a sample). `correct` is the
 *   caller's to dispose.
 */
export function gradientStep(
  step: PreparedStep,
  { model, variables, trained }: StepModel,
  inputs: readonly tf.Tensor[],
  targets: readonly tf.Tensor[],
): GradientResult {
  const count = inputs[0].shape[0];
  let hits: tf.Tensor | undefined;
  const objective = () => {
    const sums = sumsOf(step, apply(model, inputs, true), targets);
    hits = tf.keep(sums.correct);
    const penalties = penaltiesOf(model);
    return (penalties.length > 0 ? tf.add(sums.loss, tf.mul(total(penalties), count)) : sums.loss) as tf.Scalar;
  };
  const { value, grads } = withOwnGradients(() => tf.variableGrads(objective, trained));
  return { loss: value, correct: hits as tf.Tensor, gradients: variables.map((variable) => grads[variable.name]) };
}

/** Loss and hits in inference mode. */
export function evaluationStep(
  step: PreparedStep,
  { model }: StepModel,
  inputs: readonly tf.Tensor[],
  targets: readonly tf.Tensor[],
): StepSums {
  return sumsOf(step, apply(model, inputs, false), targets);
}

/** The model's outputs, final activations included. */
export function predictionStep(step: PreparedStep, { model }: StepModel, inputs: readonly tf.Tensor[]): tf.Tensor[] {
  return apply(model, inputs, false).map((output, index) => finish(output, step.finalActivations[index]));
}

function finish(output: tf.Tensor, activation: string | undefined): tf.Tensor {
  if (activation === 'softmax') return tf.softmax(output);
  return activation === 'sigmoid' ? tf.sigmoid(output) : output;
}

/** Shape of a batch of a field. */
export const batchShape = (field: Field, count: number): number[] => [count, ...field.shape];
