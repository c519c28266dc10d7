/** A step compiled for ONNX Runtime: one program for each number of samples and purpose, made when first needed and kept. */
import { type Batch, type Layout, type MetricSums, viewOf } from '@coord/protocol';
import type { CompiledStep, GrainKey } from '../engine.js';
import { lower } from '../lower/lower.js';
import { optimise } from '../passes/optimise.js';
import type { PreparedStep } from '../step/prepare.js';
import {
  gradientName,
  inputName,
  outputName,
  targetName,
  traceEvaluation,
  traceGradient,
  tracePrediction,
  weightName,
} from '../step/trace-step.js';
import type { Graph } from '../trace/graph.js';
import { type Elements, OrtProgram } from './session.js';

export interface OrtOptions {
  readonly threads: number;
  readonly blockSize: number | undefined;
}

type Purpose = 'gradient' | 'evaluation' | 'prediction';

const TRACERS: Readonly<Record<Purpose, (step: PreparedStep, count: number) => Graph>> = {
  gradient: traceGradient,
  evaluation: traceEvaluation,
  prediction: tracePrediction,
};

export class OrtStep implements CompiledStep {
  readonly layout: Layout;
  private readonly programs = new Map<string, Promise<OrtProgram>>();
  /** ONNX Runtime refuses shared memory, so the step computes on flat buffers of its own. */
  private readonly weights: Float32Array;
  private readonly gradients: Float32Array;
  private readonly storage: Record<string, Float32Array> = {};

  constructor(
    private readonly step: PreparedStep,
    private readonly options: OrtOptions,
  ) {
    this.layout = step.layout;
    this.weights = new Float32Array(this.layout.totalSize);
    this.gradients = new Float32Array(this.layout.totalSize);
    this.layout.parameters.forEach((parameter, index) => {
      this.storage[weightName(index)] = viewOf(parameter, this.weights);
      this.storage[gradientName(index)] = viewOf(parameter, this.gradients);
    });
  }

  async gradient(weights: Float32Array, batch: Batch, _key: GrainKey, out: Float32Array): Promise<MetricSums> {
    const program = await this.program('gradient', batch.count);
    this.weights.set(weights);
    this.feedBatch(program, batch);
    await program.run();
    out.set(this.gradients);
    this.scaleProposals(out, batch.count);
    return sumsOf(program, batch.count);
  }

  async evaluate(weights: Float32Array, batch: Batch): Promise<MetricSums> {
    const program = await this.program('evaluation', batch.count);
    this.weights.set(weights);
    this.feedBatch(program, batch);
    await program.run();
    return sumsOf(program, batch.count);
  }

  async predict(weights: Float32Array, inputs: Batch['inputs'], count: number): Promise<Float32Array[]> {
    const program = await this.program('prediction', count);
    this.weights.set(weights);
    this.feed(program, inputs, inputName);
    await program.run();
    const outputs = this.step.finalActivations.map((_, index) => program.output(outputName(index)));
    return outputs.map((output) => Float32Array.from(output));
  }

  dispose(): void {
    for (const program of this.programs.values()) {
      program.then(
        (made) => made.dispose(),
        () => {},
      );
    }
    this.programs.clear();
  }

  private program(purpose: Purpose, count: number): Promise<OrtProgram> {
    const key = `${purpose} ${count}`;
    const existing = this.programs.get(key);
    if (existing) return existing;
    const made = this.build(purpose, count);
    this.programs.set(key, made);
    return made;
  }

  private async build(purpose: Purpose, count: number): Promise<OrtProgram> {
    const graph = TRACERS[purpose](this.step, count);
    optimise(graph);
    return OrtProgram.create(lower(graph, this.options), this.options.threads, this.storage);
  }

  private feedBatch(program: OrtProgram, batch: Batch): void {
    this.feed(program, batch.inputs, inputName);
    this.feed(program, batch.targets, targetName);
  }

  /** An input that the outputs do not depend on is no input of the program. */
  private feed(program: OrtProgram, values: readonly Elements[], nameOf: (index: number) => string): void {
    values.forEach((elements, index) => {
      const name = nameOf(index);
      if (program.hasInput(name)) program.input(name).set(elements);
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

const sumsOf = (program: OrtProgram, samples: number): MetricSums => ({
  loss: program.output('loss')[0],
  correct: program.output('correct')[0],
  samples,
});
