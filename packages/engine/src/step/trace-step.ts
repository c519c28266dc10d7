/** The three graphs of a step, traced for one number of samples. */

import type { tf } from '../tensors.js';
import { capture, type TraceScope } from '../trace/capture.js';
import type { Graph } from '../trace/graph.js';
import { batchShape, buildModel, evaluationStep, gradientStep, predictionStep, type StepModel } from './model-step.js';
import type { PreparedStep } from './prepare.js';

/** Names of a graph's inputs and outputs. */
export const inputName = (index: number): string => `input${index}`;
export const targetName = (index: number): string => `target${index}`;
export const weightName = (index: number): string => `weight${index}`;
export const gradientName = (index: number): string => `gradient${index}`;
export const outputName = (index: number): string => `output${index}`;

export const traceGradient = (step: PreparedStep, count: number): Graph =>
  trace(step, (scope, model) => {
    const result = gradientStep(step, model, inputsOf(scope, step, count), targetsOf(scope, step, count));
    scope.output('loss', result.loss);
    scope.output('correct', result.correct);
    step.layout.parameters.forEach(({ role }, index) => {
      const proposed = role === 'statistic' ? model.variables[index] : result.gradients[index];
      if (proposed) scope.output(gradientName(index), proposed);
    });
  });

export const traceEvaluation = (step: PreparedStep, count: number): Graph =>
  trace(step, (scope, model) => {
    const sums = evaluationStep(step, model, inputsOf(scope, step, count), targetsOf(scope, step, count));
    scope.output('loss', sums.loss);
    scope.output('correct', sums.correct);
  });

export const tracePrediction = (step: PreparedStep, count: number): Graph =>
  trace(step, (scope, model) => {
    predictionStep(step, model, inputsOf(scope, step, count)).forEach((output, index) => {
      scope.output(outputName(index), output);
    });
  });

function trace(step: PreparedStep, work: (scope: TraceScope, model: StepModel) => void): Graph {
  return capture((scope) => {
    const model = buildModel(step.trainedTopology);
    try {
      nameLayers(scope, model);
      model.variables.forEach((variable, index) => {
        scope.bindWeight(weightName(index), variable);
      });
      work(scope, model);
    } finally {
      model.dispose();
    }
  });
}

/** Lets every kernel know which layer made it, for errors. */
function nameLayers(scope: TraceScope, { model }: StepModel): void {
  for (const layer of model.layers) {
    const call = layer.call.bind(layer);
    layer.call = (inputs, options) => scope.inLayer(layer.name, () => call(inputs, options));
  }
}

const inputsOf = (scope: TraceScope, { spec }: PreparedStep, count: number): tf.Tensor[] =>
  spec.inputs.map((field, index) => scope.input(inputName(index), batchShape(field, count), field.dtype));

const targetsOf = (scope: TraceScope, { spec }: PreparedStep, count: number): tf.Tensor[] =>
  spec.targets.map((field, index) => scope.input(targetName(index), batchShape(field, count), field.dtype));
