/**
 * tfjs computes every kernel at once, on a backend of its own. On `cpu` this is the reference: slow and obvious.
 *
 * Results are read asynchronously, after the step: backends of GPUs cannot be read in any other way.
 */
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

/** A step's results in the order of the layout, kept until they are read. */
interface Kept {
  readonly loss: tf.Tensor;
  readonly correct: tf.Tensor;
  readonly gradients: readonly (tf.Tensor | undefined)[];
}

export class EagerStep implements CompiledStep {
  readonly layout;
  private readonly model: StepModel;
  private readonly draws: DrawCounter;
  /** The grain in progress. */
  private key: GrainKey = { step: 0, grain: 0 };

  /** @param backend what tfjs calls it; it must be initialised. */
  constructor(
    private readonly step: PreparedStep,
    private readonly backend: string,
  ) {
    this.layout = step.layout;
    this.model = withBackend(backend, () => buildModel(step.trainedTopology));
    this.draws = drawFrom(this.model.model, (draw) => this.drawn(draw));
  }

  async gradient(weights: Float32Array, batch: Batch, key: GrainKey, out: Float32Array): Promise<MetricSums> {
    this.key = key;
    this.draws.restart();
    const kept = this.compute(weights, () => this.keptGradient(batch));
    out.fill(0);
    for (const [index, parameter] of this.layout.parameters.entries()) {
      const target = viewOf(parameter, out);
      if (parameter.role === 'statistic') await this.readProposal(index, batch.count, target);
      else if (kept.gradients[index]) target.set(await read(kept.gradients[index]));
    }
    const sums = await readSums(kept, batch.count);
    disposeAll([kept.loss, kept.correct, ...kept.gradients]);
    return sums;
  }

  async evaluate(weights: Float32Array, batch: Batch): Promise<MetricSums> {
    const kept = this.compute(weights, () => {
      const inputs = this.inputsOf(batch.inputs, batch.count);
      const { loss, correct } = evaluationStep(this.step, this.model, inputs, this.targetsOf(batch));
      return { loss: tf.keep(loss), correct: tf.keep(correct) };
    });
    const sums = await readSums(kept, batch.count);
    disposeAll([kept.loss, kept.correct]);
    return sums;
  }

  async predict(weights: Float32Array, inputs: Batch['inputs'], count: number): Promise<Float32Array[]> {
    const kept = this.compute(weights, () =>
      predictionStep(this.step, this.model, this.inputsOf(inputs, count)).map((output) => tf.keep(output)),
    );
    const outputs: Float32Array[] = [];
    for (const output of kept) outputs.push(await read(output));
    disposeAll(kept);
    return outputs;
  }

  dispose(): void {
    withBackend(this.backend, () => this.model.dispose());
  }

  private drawn(draw: RandomDraw): tf.Tensor {
    const values = new Float32Array(sizeOfShape(draw.shape));
    fillRandom(draw, this.step.spec.seed, this.key, values);
    return tf.tensor(values, [...draw.shape]);
  }

  private compute<Result>(weights: Float32Array, work: () => Result): Result {
    return withBackend(this.backend, () => {
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

  private keptGradient(batch: Batch): Kept {
    const inputs = this.inputsOf(batch.inputs, batch.count);
    const { loss, correct, gradients } = gradientStep(this.step, this.model, inputs, this.targetsOf(batch));
    for (const tensor of [loss, correct, ...gradients]) if (tensor) tf.keep(tensor);
    return { loss, correct, gradients };
  }

  /** The layers have assigned the variable its new value during the step. */
  private async readProposal(index: number, count: number, target: Float32Array): Promise<void> {
    target.set(await this.model.variables[index].data());
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

const read = (tensor: tf.Tensor): Promise<Float32Array> => tensor.data<'float32'>();

async function readSums({ loss, correct }: Pick<Kept, 'loss' | 'correct'>, samples: number): Promise<MetricSums> {
  const [lossSum] = await read(loss);
  const [correctSum] = await read(correct);
  return { loss: lossSum, correct: correctSum, samples };
}

/** Two parameters may share one gradient tensor. */
function disposeAll(tensors: readonly (tf.Tensor | undefined)[]): void {
  for (const tensor of new Set(tensors)) tensor?.dispose();
}
