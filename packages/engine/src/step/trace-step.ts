/** The three graphs of a step, traced for one number of samples. */

import type { tf } from '../tensors.js';
import { capture, type TraceScope } from '../trace/capture.js';
import type { Graph } from '../trace/graph.js';
import { replaceFormulas } from '../trace/layers/replace.js';
import { describeLayer, layersWithin } from './layer-tree.js';
import {
  batchShape,
  buildModel,
  evaluationStep,
  gradientStep,
  predictionStep,
  type StepModel,
  type Wanted,
} from './model-step.js';
import type { PreparedStep } from './prepare.js';
import { drawFrom } from './random-layers.js';
import type { RandomDraw } from './random-values.js';

/** Names of a graph's inputs and outputs. */
export const inputName = (index: number): string => `input${index}`;
export const SAMPLE_WEIGHTS = 'sampleWeights';
export const targetName = (index: number): string => `target${index}`;
export const weightName = (index: number): string => `weight${index}`;
export const gradientName = (index: number): string => `gradient${index}`;
export const randomName = (index: number): string => `random${index}`;
export const outputName = (index: number): string => `output${index}`;

/** A graph, and the draws whose values are its inputs `random0`, `random1` …. */
export interface TracedStep {
  readonly graph: Graph;
  readonly draws: readonly RandomDraw[];
}

/** @param kept numbers of the outputs that the graph gives out too. */
export const traceGradient = (step: PreparedStep, count: number, kept: readonly number[] = []): TracedStep =>
  trace(step, (scope, model) => {
    const result = gradientStep(step, model, inputsOf(scope, step, count), wantedOf(scope, step, count), kept);
    giveOut(scope, kept, result.outputs);
    scope.output('loss', result.loss);
    scope.output('correct', result.correct);
    step.layout.parameters.forEach(({ role }, index) => {
      const proposed = role === 'statistic' ? model.variables[index] : result.gradients[index];
      if (proposed) scope.output(gradientName(index), proposed);
    });
    for (const tensor of [result.correct, ...result.outputs]) tensor.dispose();
  });

export const traceEvaluation = (step: PreparedStep, count: number, kept: readonly number[] = []): TracedStep =>
  trace(step, (scope, model) => {
    const result = evaluationStep(step, model, inputsOf(scope, step, count), wantedOf(scope, step, count), kept);
    giveOut(scope, kept, result.outputs);
    scope.output('loss', result.loss);
    scope.output('correct', result.correct);
  });

function giveOut(scope: TraceScope, kept: readonly number[], outputs: readonly tf.Tensor[]): void {
  outputs.forEach((output, index) => {
    scope.output(outputName(kept[index]), output);
  });
}

export const tracePrediction = (step: PreparedStep, count: number): TracedStep =>
  trace(step, (scope, model) => {
    predictionStep(step, model, inputsOf(scope, step, count)).forEach((output, index) => {
      scope.output(outputName(index), output);
    });
  });

function trace(step: PreparedStep, work: (scope: TraceScope, model: StepModel) => void): TracedStep {
  const draws: RandomDraw[] = [];
  const graph = capture((scope) => {
    const model = buildModel(step.trainedTopology);
    try {
      drawFrom(model.model, (draw) => scope.input(randomName(draws.push(draw) - 1), draw.shape, 'float32'));
      replaceFormulas(layersWithin(model.model));
      nameLayers(scope, model);
      model.variables.forEach((variable, index) => {
        scope.bindWeight(weightName(index), variable);
      });
      work(scope, model);
    } finally {
      model.dispose();
    }
  });
  return { graph, draws };
}

/** Lets every kernel know which layer made it, for errors. */
function nameLayers(scope: TraceScope, { model }: StepModel): void {
  for (const layer of layersWithin(model)) {
    const call = layer.call.bind(layer);
    layer.call = (inputs, options) => scope.inLayer(describeLayer(layer), () => call(inputs, options));
  }
}

const inputsOf = (scope: TraceScope, { spec }: PreparedStep, count: number): tf.Tensor[] =>
  spec.inputs.map((field, index) => scope.input(inputName(index), batchShape(field, count), field.dtype));

const wantedOf = (scope: TraceScope, { spec }: PreparedStep, count: number): Wanted => ({
  targets: spec.targets.map((field, index) => scope.input(targetName(index), batchShape(field, count), field.dtype)),
  sampleWeights: spec.isWeighted ? scope.input(SAMPLE_WEIGHTS, [count], 'float32') : undefined,
});
