/** A step compiled for ONNX Runtime: one program for each number of samples and purpose, made when first needed and kept. */
import { type Batch, type ElementRange, type Layout, type MetricSums, viewOf } from '@coord/protocol';
import { type CompiledStep, completeAll, type GradientOptions, type GradientStages, type GrainKey } from '../engine.js';
import { type LoweredModel, lower } from '../lower/lower.js';
import { optimise } from '../passes/optimise.js';
import type { PreparedStep } from '../step/prepare.js';
import { fillRandom, type RandomDraw } from '../step/random-values.js';
import {
  gradientName,
  inputName,
  outputName,
  randomName,
  SAMPLE_WEIGHTS,
  type TracedStep,
  targetName,
  traceEvaluation,
  traceGradient,
  tracePrediction,
  weightName,
} from '../step/trace-step.js';
import { StepTally } from '../tally/tally.js';
import { SegmentedProgram } from './segmented-program.js';
import { type Elements, OrtProgram, type OrtSessionOptions } from './session.js';
import { verifyOnCpu } from './verify.js';

export interface OrtOptions extends OrtSessionOptions {
  readonly blockSize: number | undefined;
  readonly kernelsFrom: number | undefined;
}

type ProgramName = 'gradient' | 'evaluation' | 'prediction';

/** What is compiled for one purpose and number of samples. */
interface Compiled {
  readonly program: Program;
  readonly draws: readonly RandomDraw[];
  /** Until the first run has been checked; only on GPUs. */
  unverified?: { readonly model: LoweredModel; readonly program: OrtProgram } | undefined;
}

/** The gradient, in stages. */
interface CompiledStages {
  readonly program: SegmentedProgram;
  readonly draws: readonly RandomDraw[];
}

interface Lowered {
  readonly model: LoweredModel;
  readonly draws: readonly RandomDraw[];
}

/** What a batch is fed to. */
type Program = Pick<OrtProgram, 'hasInput' | 'input' | 'output' | 'run' | 'dispose'>;

type Tracer = (step: PreparedStep, count: number, kept: readonly number[]) => TracedStep;

const TRACERS: Readonly<Record<ProgramName, Tracer>> = {
  gradient: traceGradient,
  evaluation: traceEvaluation,
  prediction: tracePrediction,
};

export class OrtStep implements CompiledStep {
  readonly layout: Layout;
  private readonly tallies: Readonly<Record<'gradient' | 'evaluation', StepTally>>;
  private readonly models = new Map<string, Promise<Lowered>>();
  private readonly programs = new Map<string, Promise<Compiled>>();
  private readonly stagedPrograms = new Map<string, Promise<CompiledStages>>();
  /** ONNX Runtime refuses shared memory, so the step computes on flat buffers of its own. */
  private readonly weights: Float32Array;
  private weightsId: string | undefined;
  private readonly gradients: Float32Array;
  private readonly storage: Record<string, Float32Array> = {};

  constructor(
    private readonly step: PreparedStep,
    private readonly options: OrtOptions,
  ) {
    this.layout = step.layout;
    this.tallies = { gradient: new StepTally(step, 'training'), evaluation: new StepTally(step, 'evaluation') };
    this.weights = new Float32Array(this.layout.totalSize);
    this.gradients = new Float32Array(this.layout.totalSize);
    this.layout.parameters.forEach((parameter, index) => {
      this.storage[weightName(index)] = viewOf(parameter, this.weights);
      this.storage[gradientName(index)] = viewOf(parameter, this.gradients);
    });
  }

  async gradient(
    weights: Float32Array,
    batch: Batch,
    key: GrainKey,
    out: Float32Array,
    { weightsId, stages }: GradientOptions = {},
  ): Promise<MetricSums> {
    if (stages && this.canStage(stages)) return this.stagedGradient(weights, batch, key, out, { weightsId, stages });
    const compiled = await this.program('gradient', batch.count);
    const { program, draws } = compiled;
    this.loadWeights(weights, weightsId);
    this.feedBatch(program, batch);
    this.feedRandom(program, draws, key);
    await this.run(compiled);
    this.handOut(out, batch.count);
    completeAll(stages);
    return sumsOf(program, batch, this.tallies.gradient);
  }

  /** GPUs compute in one piece: what they hand from stage to stage would go through the host's memory. */
  private canStage({ buckets }: GradientStages): boolean {
    return buckets.length > 1 && (this.options.provider ?? 'cpu') === 'cpu';
  }

  private async stagedGradient(
    weights: Float32Array,
    batch: Batch,
    key: GrainKey,
    out: Float32Array,
    { weightsId, stages }: { weightsId: string | undefined; stages: GradientStages },
  ): Promise<MetricSums> {
    const { program, draws } = await this.stagedProgram(batch.count, stages.buckets);
    this.loadWeights(weights, weightsId);
    this.feedBatch(program, batch);
    this.feedRandom(program, draws, key);
    for (const [stage, bucket] of stages.buckets.entries()) {
      await program.run(stage);
      this.handOut(out, batch.count, bucket);
      stages.onComplete(stage);
    }
    return sumsOf(program, batch, this.tallies.gradient);
  }

  async evaluate(weights: Float32Array, batch: Batch): Promise<MetricSums> {
    const compiled = await this.program('evaluation', batch.count);
    const { program } = compiled;
    this.loadWeights(weights);
    this.feedBatch(program, batch);
    await this.run(compiled);
    return sumsOf(program, batch, this.tallies.evaluation);
  }

  async predict(weights: Float32Array, inputs: Batch['inputs'], count: number): Promise<Float32Array[]> {
    const compiled = await this.program('prediction', count);
    const { program } = compiled;
    this.loadWeights(weights);
    this.feed(program, inputs, inputName);
    await this.run(compiled);
    const outputs = this.step.finalActivations.map((_, index) => program.output(outputName(index)));
    return outputs.map((output) => Float32Array.from(output));
  }

  dispose(): void {
    for (const making of [...this.programs.values(), ...this.stagedPrograms.values()]) {
      making.then(
        ({ program }) => program.dispose(),
        () => {},
      );
    }
    this.programs.clear();
    this.stagedPrograms.clear();
  }

  private loadWeights(weights: Float32Array, id?: string): void {
    if (id === undefined || id !== this.weightsId) this.weights.set(weights);
    this.weightsId = id;
  }

  private program(purpose: ProgramName, count: number): Promise<Compiled> {
    return madeOnce(this.programs, `${purpose} ${count}`, async () => {
      const { model, draws } = await this.lowered(purpose, count);
      if (model.ownNodes.length > 0) {
        return { program: await SegmentedProgram.create(model, this.options, this.storage), draws };
      }
      const program = await OrtProgram.create(model, this.options, this.storage);
      const { provider = 'cpu' } = this.options;
      return { program, draws, unverified: provider === 'cpu' ? undefined : { model, program } };
    });
  }

  private stagedProgram(count: number, buckets: readonly ElementRange[]): Promise<CompiledStages> {
    const cuts = buckets.map(({ start }) => start);
    return madeOnce(this.stagedPrograms, `${count} at ${cuts}`, async () => {
      const { model, draws } = await this.lowered('gradient', count);
      const results = buckets.map((bucket) => this.gradientsIn(bucket));
      return { program: await SegmentedProgram.create(model, this.options, this.storage, results), draws };
    });
  }

  private gradientsIn({ start, end }: ElementRange): string[] {
    const { parameters } = this.layout;
    return parameters.flatMap(({ offset }, index) => (offset >= start && offset < end ? gradientName(index) : []));
  }

  /** Kept, because the same model is compiled whole and in stages, and tracing a large one takes seconds. */
  private lowered(purpose: ProgramName, count: number): Promise<Lowered> {
    return madeOnce(this.models, `${purpose} ${count}`, async () => {
      const kept = purpose === 'prediction' ? [] : this.tallies[purpose].outputs;
      const { graph, draws } = TRACERS[purpose](this.step, count, kept);
      optimise(graph);
      return { model: lower(graph, this.options), draws };
    });
  }

  private async run(compiled: Compiled): Promise<void> {
    await compiled.program.run();
    if (!compiled.unverified) return;
    const { model, program } = compiled.unverified;
    await verifyOnCpu(model, program, (output) => this.describe(output));
    compiled.unverified = undefined;
  }

  private describe(output: string): string {
    const index = this.layout.parameters.findIndex((_, at) => gradientName(at) === output);
    return index < 0 ? `"${output}"` : `the gradient of "${this.layout.parameters[index].name}"`;
  }

  private feedBatch(program: Program, batch: Batch): void {
    this.feed(program, batch.inputs, inputName);
    this.feed(program, batch.targets, targetName);
    if (batch.sampleWeights) this.feed(program, [batch.sampleWeights], () => SAMPLE_WEIGHTS);
  }

  /** An input that the outputs do not depend on is no input of the program. */
  private feed(program: Program, values: readonly Elements[], nameOf: (index: number) => string): void {
    values.forEach((elements, index) => {
      const name = nameOf(index);
      if (program.hasInput(name)) program.input(name).set(elements);
    });
  }

  private feedRandom(program: Program, draws: readonly RandomDraw[], key: GrainKey): void {
    draws.forEach((draw, index) => {
      const name = randomName(index);
      if (program.hasInput(name)) fillRandom(draw, this.step.spec.seed, key, program.input(name) as Float32Array);
    });
  }

  /** Copies gradients to the caller's buffer; a statistic's proposal counts once a sample. */
  private handOut(out: Float32Array, count: number, { start, end }: ElementRange = this.whole): void {
    out.subarray(start, end).set(this.gradients.subarray(start, end));
    for (const parameter of this.layout.parameters) {
      if (parameter.role !== 'statistic' || parameter.offset < start || parameter.offset >= end) continue;
      const proposal = viewOf(parameter, out);
      for (let at = 0; at < proposal.length; at++) proposal[at] *= count;
    }
  }

  private get whole(): ElementRange {
    return { start: 0, end: this.layout.totalSize };
  }
}

function madeOnce<Made>(made: Map<string, Promise<Made>>, key: string, make: () => Promise<Made>): Promise<Made> {
  const making = made.get(key) ?? make();
  made.set(key, making);
  return making;
}

const sumsOf = (program: Program, batch: Batch, tally: StepTally): MetricSums => ({
  loss: program.output('loss')[0],
  correct: program.output('correct')[0],
  samples: batch.count,
  ...tally.count(batch, (output) => program.output(outputName(output)) as Float32Array),
});
