/** A step compiled for ONNX Runtime: one program for each number of samples and purpose, made when first needed and kept. */
import { type Batch, type Layout, type MetricSums, viewOf } from '@coord/protocol';
import type { CompiledStep, GrainKey } from '../engine.js';
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
import { type Elements, OrtProgram, type OrtSessionOptions } from './session.js';
import { verifyOnCpu } from './verify.js';

export interface OrtOptions extends OrtSessionOptions {
  readonly blockSize: number | undefined;
}

type ProgramName = 'gradient' | 'evaluation' | 'prediction';

/** What is compiled for one purpose and number of samples. */
interface Compiled {
  readonly program: OrtProgram;
  readonly draws: readonly RandomDraw[];
  /** Until the first run has been checked; only on GPUs. */
  unverified?: LoweredModel | undefined;
}

type Tracer = (step: PreparedStep, count: number, kept: readonly number[]) => TracedStep;

const TRACERS: Readonly<Record<ProgramName, Tracer>> = {
  gradient: traceGradient,
  evaluation: traceEvaluation,
  prediction: tracePrediction,
};

export class OrtStep implements CompiledStep {
  readonly layout: Layout;
  private readonly tallies: Readonly<Record<'gradient' | 'evaluation', StepTally>>;
  private readonly programs = new Map<string, Promise<Compiled>>();
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
    weightsId?: string,
  ): Promise<MetricSums> {
    const compiled = await this.program('gradient', batch.count);
    const { program, draws } = compiled;
    this.loadWeights(weights, weightsId);
    this.feedBatch(program, batch);
    this.feedRandom(program, draws, key);
    await this.run(compiled);
    out.set(this.gradients);
    this.scaleProposals(out, batch.count);
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
    for (const program of this.programs.values()) {
      program.then(
        (made) => made.program.dispose(),
        () => {},
      );
    }
    this.programs.clear();
  }

  private loadWeights(weights: Float32Array, id?: string): void {
    if (id === undefined || id !== this.weightsId) this.weights.set(weights);
    this.weightsId = id;
  }

  private program(purpose: ProgramName, count: number): Promise<Compiled> {
    const key = `${purpose} ${count}`;
    const existing = this.programs.get(key);
    if (existing) return existing;
    const made = this.build(purpose, count);
    this.programs.set(key, made);
    return made;
  }

  private async build(purpose: ProgramName, count: number): Promise<Compiled> {
    const { graph, draws } = TRACERS[purpose](
      this.step,
      count,
      purpose === 'prediction' ? [] : this.tallies[purpose].outputs,
    );
    optimise(graph);
    const model = lower(graph, this.options);
    const program = await OrtProgram.create(model, this.options, this.storage);
    const { provider = 'cpu' } = this.options;
    return { program, draws, unverified: provider === 'cpu' ? undefined : model };
  }

  private async run(compiled: Compiled): Promise<void> {
    await compiled.program.run();
    if (!compiled.unverified) return;
    await verifyOnCpu(compiled.unverified, compiled.program, (output) => this.describe(output));
    compiled.unverified = undefined;
  }

  private describe(output: string): string {
    const index = this.layout.parameters.findIndex((_, at) => gradientName(at) === output);
    return index < 0 ? `"${output}"` : `the gradient of "${this.layout.parameters[index].name}"`;
  }

  private feedBatch(program: OrtProgram, batch: Batch): void {
    this.feed(program, batch.inputs, inputName);
    this.feed(program, batch.targets, targetName);
    if (batch.sampleWeights) this.feed(program, [batch.sampleWeights], () => SAMPLE_WEIGHTS);
  }

  /** An input that the outputs do not depend on is no input of the program. */
  private feed(program: OrtProgram, values: readonly Elements[], nameOf: (index: number) => string): void {
    values.forEach((elements, index) => {
      const name = nameOf(index);
      if (program.hasInput(name)) program.input(name).set(elements);
    });
  }

  private feedRandom(program: OrtProgram, draws: readonly RandomDraw[], key: GrainKey): void {
    draws.forEach((draw, index) => {
      const name = randomName(index);
      if (program.hasInput(name)) fillRandom(draw, this.step.spec.seed, key, program.input(name) as Float32Array);
    });
  }

  private scaleProposals(out: Float32Array, count: number): void {
    for (const parameter of this.layout.parameters) {
      if (parameter.role !== 'statistic') continue;
      const proposal = viewOf(parameter, out);
      for (let at = 0; at < proposal.length; at++) proposal[at] *= count;
    }
  }
}

const sumsOf = (program: OrtProgram, batch: Batch, tally: StepTally): MetricSums => ({
  loss: program.output('loss')[0],
  correct: program.output('correct')[0],
  samples: batch.count,
  ...tally.count(batch, (output) => program.output(outputName(output)) as Float32Array),
});
