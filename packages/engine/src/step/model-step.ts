/**
 * The step in tfjs operations: forward, loss, backward. Both engines run these very functions, one on the `cpu` backend, one
 * on the backend that records.
 */

import { modelFromTopology } from '@coord/models';
import type { Field } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../tensors.js';
import { layersWithin } from './layer-tree.js';
import { type LossTerm, type StepSums, sumsOf, total } from './losses/total.js';
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

export interface EvaluationResult extends StepSums {
  /** Outputs of the trained model that were asked for, in that order. */
  readonly outputs: readonly tf.Tensor[];
}

export interface GradientResult extends EvaluationResult {
  /** In layout order; undefined where the loss does not depend on the parameter. */
  readonly gradients: readonly (tf.Tensor | undefined)[];
}

const list = (tensors: tf.Tensor | tf.Tensor[]): tf.Tensor[] => [tensors].flat();

function apply(model: tfl.LayersModel, inputs: readonly tf.Tensor[], training: boolean): tf.Tensor[] {
  const argument = inputs.length === 1 ? inputs[0] : [...inputs];
  return list(model.apply(argument, { training }) as tf.Tensor | tf.Tensor[]);
}

/** Targets and weights of a batch, as tensors. */
export interface Wanted {
  readonly targets: readonly tf.Tensor[];
  /** float32 [count]; undefined where the dataset has no sample weights. */
  readonly sampleWeights: tf.Tensor | undefined;
}

/** Sums over samples and outputs. */
function stepSums(step: PreparedStep, outputs: readonly tf.Tensor[], { targets, sampleWeights }: Wanted): StepSums {
  const terms = outputs.map(
    (output, index): LossTerm => ({
      spec: step.losses[index],
      output,
      target: targets[index],
      isLogits: isLogits(step, index),
    }),
  );
  return sumsOf(terms, sampleWeights);
}

/** Whether an output stands before the softmax or sigmoid of its loss. */
export function isLogits({ losses, finalActivations }: PreparedStep, output: number): boolean {
  const loss = losses[output];
  return finalActivations[output] !== undefined || ('fromLogits' in loss && loss.fromLogits);
}

/**
 * @param kept numbers of the outputs that the caller wants to see.
 * @returns gradients of the summed loss, penalties of the layers' regularizers included (once a sample). `correct` and
 *   `outputs` are the caller's to dispose.
 */
export function gradientStep(
  step: PreparedStep,
  { model, variables, trained }: StepModel,
  inputs: readonly tf.Tensor[],
  wanted: Wanted,
  kept: readonly number[] = [],
): GradientResult {
  const count = inputs[0].shape[0];
  let hits: tf.Tensor | undefined;
  let seen: tf.Tensor[] = [];
  const objective = () => {
    const outputs = apply(model, inputs, true);
    const sums = stepSums(step, outputs, wanted);
    hits = tf.keep(sums.correct);
    seen = kept.map((index) => tf.keep(outputs[index]));
    const penalties = penaltiesOf(model);
    return (penalties.length > 0 ? tf.add(sums.loss, tf.mul(total(penalties), count)) : sums.loss) as tf.Scalar;
  };
  const { value, grads } = withOwnGradients(() => tf.variableGrads(objective, trained));
  const gradients = variables.map((variable) => grads[variable.name]);
  return { loss: value, correct: hits as tf.Tensor, outputs: seen, gradients };
}

/** Loss, hits and the outputs of `kept` in inference mode. */
export function evaluationStep(
  step: PreparedStep,
  { model }: StepModel,
  inputs: readonly tf.Tensor[],
  wanted: Wanted,
  kept: readonly number[] = [],
): EvaluationResult {
  const outputs = apply(model, inputs, false);
  return { ...stepSums(step, outputs, wanted), outputs: kept.map((index) => outputs[index]) };
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
