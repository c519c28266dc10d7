/** The reference: tfjs computes every kernel at once, on its `cpu` backend. Slow and obvious. */
import { type Batch, type Field, type MetricSums, sizeOfShape, viewOf } from '@coord/protocol';
import type { CompiledStep, GrainKey } from '../engine.js';
import {
  batchShape,
  buildModel,
  evaluationStep,
  gradientStep,
  predictionStep,
  type StepModel,
} from '../step/model-step.js';
import type { PreparedStep } from '../step/prepare.js';
import { type DrawCounter, drawFrom, refusingRandom, unrecognisedRandom } from '../step/random-layers.js';
import { fillRandom, type RandomDraw } from '../step/random-values.js';
import { tf, withBackend } from '../tensors.js';

const BACKEND = 'cpu';

export class EagerStep implements CompiledStep {
  readonly layout;
  private readonly model: StepModel;
  private readonly draws: DrawCounter;
  /** The grain in progress. */
  private key: GrainKey = { step: 0, grain: 0 };

  constructor(private readonly step: PreparedStep) {
    this.layout = step.layout;
    this.model = withBackend(BACKEND, () => buildModel(step.trainedTopology));
    this.draws = drawFrom(this.model.model, (draw) => this.drawn(draw));
  }

  async gradient(weights: Float32Array, batch: Batch, key: GrainKey, out: Float32Array): Promise<MetricSums> {
    this.key = key;
    this.draws.restart();
    return this.compute(weights, () => {
      const result = gradientStep(
        this.step,
        this.model,
        this.inputsOf(batch.inputs, batch.count),
        this.targetsOf(batch),
      );
      out.fill(0);
      this.layout.parameters.forEach((parameter, index) => {
        const target = viewOf(parameter, out);
        if (parameter.role === 'statistic') this.writeProposal(index, batch.count, target);
        else if (result.gradients[index]) target.set(result.gradients[index].dataSync());
      });
      const sums = { loss: scalarOf(result.loss), correct: scalarOf(result.correct), samples: batch.count };
      result.correct.dispose();
      return sums;
    });
  }

  async evaluate(weights: Float32Array, batch: Batch): Promise<MetricSums> {
    return this.compute(weights, () => {
      const inputs = this.inputsOf(batch.inputs, batch.count);
      const sums = evaluationStep(this.step, this.model, inputs, this.targetsOf(batch));
      return { loss: scalarOf(sums.loss), correct: scalarOf(sums.correct), samples: batch.count };
    });
  }

  async predict(weights: Float32Array, inputs: Batch['inputs'], count: number): Promise<Float32Array[]> {
    return this.compute(weights, () =>
      predictionStep(this.step, this.model, this.inputsOf(inputs, count)).map((output) =>
        Float32Array.from(output.dataSync()),
      ),
    );
  }

  dispose(): void {
    withBackend(BACKEND, () => this.model.dispose());
  }

  private drawn(draw: RandomDraw): tf.Tensor {
    const values = new Float32Array(sizeOfShape(draw.shape));
    fillRandom(draw, this.step.spec.seed, this.key, values);
    return tf.tensor(values, [...draw.shape]);
  }

  private compute<Result>(weights: Float32Array, work: () => Result): Result {
    return withBackend(BACKEND, () => {
      tf.engine().startScope();
      try {
        this.assignWeights(weights);
        return refusingRandom(unrecognisedRandom, work);
      } finally {
        tf.engine().endScope();
      }
    });
  }

  /** The backend keeps what it is given, so each variable gets a copy. */
  private assignWeights(weights: Float32Array): void {
    this.layout.parameters.forEach((parameter, index) => {
      const values = Float32Array.from(viewOf(parameter, weights));
      this.model.variables[index].assign(tf.tensor(values, [...parameter.shape]));
    });
  }

  /** The layers have assigned the variable its new value during the step. */
  private writeProposal(index: number, count: number, target: Float32Array): void {
    target.set(this.model.variables[index].dataSync());
    for (let at = 0; at < target.length; at++) target[at] *= count;
  }

  private inputsOf(values: Batch['inputs'], count: number): tf.Tensor[] {
    return this.step.spec.inputs.map((field, index) => tensorOf(field, values[index], count));
  }

  private targetsOf(batch: Batch): tf.Tensor[] {
    return this.step.spec.targets.map((field, index) => tensorOf(field, batch.targets[index], batch.count));
  }
}

const tensorOf = (field: Field, values: Float32Array | Int32Array, count: number): tf.Tensor =>
  tf.tensor(values.slice(), batchShape(field, count), field.dtype);

const scalarOf = (tensor: tf.Tensor): number => tensor.dataSync()[0];
