/**
 * tfjs computes every kernel at once, on a backend of its own. On `cpu` this is the reference: slow and obvious.
 *
 * Results are read asynchronously, after the step: backends of GPUs cannot be read in any other way.
 */
import { type Batch, type Field, type MetricSums, type Purpose, sizeOfShape, viewOf } from '@coord/protocol';
import { type CompiledStep, completeAll, type GradientOptions, type GrainKey } from '../engine.js';
import {
  batchShape,
  buildModel,
  evaluationStep,
  gradientStep,
  predictionStep,
  type StepModel,
  type Wanted,
} from '../step/model-step.js';
import type { PreparedStep } from '../step/prepare.js';
import { type DrawCounter, drawFrom, refusingRandom, unrecognisedRandom } from '../step/random-layers.js';
import { fillRandom, type RandomDraw } from '../step/random-values.js';
import { StepTally } from '../tally/tally.js';
import { tf, withBackend } from '../tensors.js';

/** A step's sums and the outputs that its tally looks at, kept until they are read. */
interface Kept {
  readonly loss: tf.Tensor;
  readonly correct: tf.Tensor;
  readonly outputs: readonly tf.Tensor[];
}

interface KeptGradient extends Kept {
  /** In the order of the layout. */
  readonly gradients: readonly (tf.Tensor | undefined)[];
}

export class EagerStep implements CompiledStep {
  readonly layout;
  private readonly model: StepModel;
  private readonly draws: DrawCounter;
  private readonly tallies: Readonly<Record<Purpose, StepTally>>;
  /** The grain in progress. */
  private key: GrainKey = { step: 0, grain: 0 };

  /** @param backend what tfjs calls it; it must be initialised. */
  constructor(
    private readonly step: PreparedStep,
    private readonly backend: string,
  ) {
    this.layout = step.layout;
    this.tallies = { training: new StepTally(step, 'training'), evaluation: new StepTally(step, 'evaluation') };
    this.model = withBackend(backend, () => buildModel(step.trainedTopology));
    this.draws = drawFrom(this.model.model, (draw) => this.drawn(draw));
  }

  async gradient(
    weights: Float32Array,
    batch: Batch,
    key: GrainKey,
    out: Float32Array,
    { stages }: GradientOptions = {},
  ): Promise<MetricSums> {
    this.key = key;
    this.draws.restart();
    const kept = this.compute(weights, () => this.keptGradient(batch));
    out.fill(0);
    for (const [index, parameter] of this.layout.parameters.entries()) {
      const target = viewOf(parameter, out);
      if (parameter.role === 'statistic') await this.readProposal(index, batch.count, target);
      else if (kept.gradients[index]) target.set(await read(kept.gradients[index]));
    }
    const sums = await readSums(kept, batch, this.tallies.training);
    disposeAll([kept.loss, kept.correct, ...kept.outputs, ...kept.gradients]);
    completeAll(stages);
    return sums;
  }

  async evaluate(weights: Float32Array, batch: Batch): Promise<MetricSums> {
    const tally = this.tallies.evaluation;
    const kept = this.compute(weights, () => {
      const inputs = this.inputsOf(batch.inputs, batch.count);
      const result = evaluationStep(this.step, this.model, inputs, this.wantedOf(batch), tally.outputs);
      for (const tensor of [result.loss, result.correct, ...result.outputs]) tf.keep(tensor);
      return result;
    });
    const sums = await readSums(kept, batch, tally);
    disposeAll([kept.loss, kept.correct, ...kept.outputs]);
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

  private keptGradient(batch: Batch): KeptGradient {
    const inputs = this.inputsOf(batch.inputs, batch.count);
    const { outputs } = this.tallies.training;
    const result = gradientStep(this.step, this.model, inputs, this.wantedOf(batch), outputs);
    for (const tensor of [result.loss, result.correct, ...result.outputs, ...result.gradients])
      if (tensor) tf.keep(tensor);
    return result;
  }

  /** The layers have assigned the variable its new value during the step. */
  private async readProposal(index: number, count: number, target: Float32Array): Promise<void> {
    target.set(await this.model.variables[index].data());
    for (let at = 0; at < target.length; at++) target[at] *= count;
  }

  private inputsOf(values: Batch['inputs'], count: number): tf.Tensor[] {
    return this.step.spec.inputs.map((field, index) => tensorOf(field, values[index], count));
  }

  private wantedOf({ targets, sampleWeights, count }: Batch): Wanted {
    return {
      targets: this.step.spec.targets.map((field, index) => tensorOf(field, targets[index], count)),
      sampleWeights: this.step.spec.isWeighted && sampleWeights ? tf.tensor1d(sampleWeights.slice()) : undefined,
    };
  }
}

const tensorOf = (field: Field, values: Float32Array | Int32Array, count: number): tf.Tensor =>
  tf.tensor(values.slice(), batchShape(field, count), field.dtype);

const read = (tensor: tf.Tensor): Promise<Float32Array> => tensor.data<'float32'>();

async function readSums({ loss, correct, outputs }: Kept, batch: Batch, tally: StepTally): Promise<MetricSums> {
  const [lossSum] = await read(loss);
  const [correctSum] = await read(correct);
  const seen = new Map<number, Float32Array>();
  for (const [index, output] of outputs.entries()) seen.set(tally.outputs[index], await read(output));
  const counted = tally.count(batch, (output) => seen.get(output) as Float32Array);
  return { loss: lossSum, correct: correctSum, samples: batch.count, ...counted };
}

/** Two parameters may share one gradient tensor. */
function disposeAll(tensors: readonly (tf.Tensor | undefined)[]): void {
  for (const tensor of new Set(tensors)) tensor?.dispose();
}
