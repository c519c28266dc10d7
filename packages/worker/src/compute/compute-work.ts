/** What a compute thread does when it is asked: requests in, responses out, over buffers in the host's arena. */
import { applyRegularization, type CompiledStep, createOptimizer, type Engine, type Optimizer } from '@coord/engine';
import {
  BLOCK_SIZE,
  CoordError,
  createLayout,
  type ElementRange,
  hashWeights,
  type Layout,
  type PhiloxKey,
  type WireFormat,
} from '@coord/protocol';
import {
  addThreads,
  averageThreads,
  createKernels,
  type GrainFloats,
  type Kernels,
  type QuantiseResult,
  roundingFor,
} from '@coord/ring';
import type {
  ApplyRequest,
  AttachRequest,
  AverageRequest,
  CombineRequest,
  CompileRequest,
  ComputeRequest,
  ComputeResponses,
  EvaluateRequest,
  FloatGrain,
  GrainRequest,
  OnProgress,
  SettleRequest,
  ThreadBuffers,
} from './requests.js';

interface Attached {
  readonly buffers: ThreadBuffers;
  readonly buckets: readonly ElementRange[];
  readonly kernels: Kernels;
  readonly wire: WireFormat;
  readonly roundingKey: PhiloxKey;
  readonly optimizer: Optimizer;
  readonly regularization: AttachRequest['regularization'];
}

export type MakeEngine = (request: CompileRequest['engine']) => Promise<Engine>;

/** The work of one thread, as far as it has come. */
interface Work {
  readonly makeEngine: MakeEngine;
  compiled?: CompiledStep;
  layout?: Layout;
  attached?: Attached;
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined)
    throw new CoordError('ENGINE_FAILED', `a compute thread was asked to work before it was ${what}`);
  return value;
}

async function compile(work: Work, request: CompileRequest): Promise<ComputeResponses['compile']> {
  const engine = await work.makeEngine(request.engine);
  work.compiled = await engine.compile(request.step);
  const parameters = work.compiled.layout.parameters.map(({ name, shape, role }) => ({ name, shape, role }));
  work.layout = createLayout(parameters);
  return { identity: engine.identity, parameters };
}

function attach(work: Work, request: AttachRequest): ComputeResponses['attach'] {
  work.attached = {
    buffers: request.buffers,
    buckets: request.buckets,
    wire: request.wire,
    roundingKey: request.roundingKey,
    kernels: createKernels(request.memory),
    optimizer: createOptimizer(request.optimizer, required(work.layout, 'compiled'), { memory: request.memory }),
    regularization: request.regularization,
  };
  return {};
}

/** @returns a grain's floats, which become integers range by range, and what was told of them so far. */
function floatsOf({ buffers, kernels, wire, roundingKey }: Attached, { thread, step, grain, grains }: FloatGrain) {
  const { gradient, exponents } = buffers.grains[thread];
  const flags = { overflow: false, nonFinite: false };
  const operands = ({ start, end }: ElementRange) => {
    const blocks = [start / BLOCK_SIZE, end / BLOCK_SIZE] as const;
    return {
      values: gradient.subarray(start, end),
      quanta: buffers.quanta.subarray(...blocks),
      shown: exponents.subarray(...blocks),
      rounding: roundingFor(wire, { key: roundingKey, step, grain, firstBlock: blocks[0] }),
    };
  };
  const note = ({ overflow, firstNonFiniteBlock }: QuantiseResult) => {
    flags.overflow ||= overflow;
    flags.nonFinite ||= firstNonFiniteBlock >= 0;
  };
  const floats: GrainFloats = {
    quantise(range, into, mode) {
      const { values, quanta, shown, rounding } = operands(range);
      note(kernels.quantiseGrain(values, quanta, grains, into, shown, mode, wire, rounding));
    },
    average(range, sums, divisor, mean) {
      const { values, quanta, shown, rounding } = operands(range);
      note(kernels.averageGrain(values, quanta, grains, sums, shown, divisor, mean, wire, rounding));
    },
  };
  return { floats, flags };
}

/** Computes a grain and adds it to the thread's sums, bucket by bucket where it is asked for in stages. */
async function grain(work: Work, request: GrainRequest, onProgress: OnProgress): Promise<ComputeResponses['grain']> {
  const attached = required(work.attached, 'attached');
  const { buffers, buckets } = attached;
  const { step, grain, grains, mode, inStages } = request;
  const { gradient, sums } = buffers.grains[buffers.thread];
  const { floats, flags } = floatsOf(attached, { thread: buffers.thread, step, grain, grains });
  const addToSums = (range: ElementRange) => {
    if (mode !== 'leave') floats.quantise(range, sums.subarray(range.start, range.end), mode);
  };
  const onComplete = (bucket: number) => {
    addToSums(buckets[bucket]);
    onProgress({ bucket });
  };
  const compiled = required(work.compiled, 'compiled');
  const metrics = await compiled.gradient(buffers.weights, request.batch, { step, grain }, gradient, {
    weightsId: request.weightsSha256,
    stages: inStages ? { buckets, onComplete } : undefined,
  });
  if (!inStages) addToSums({ start: 0, end: gradient.length });
  return { metrics, ...flags };
}

function settle(work: Work, request: SettleRequest): ComputeResponses['settle'] {
  const attached = required(work.attached, 'attached');
  const { sums } = attached.buffers.grains[request.grain.thread];
  const { floats, flags } = floatsOf(attached, request.grain);
  floats.quantise({ start: 0, end: sums.length }, sums, request.mode);
  return flags;
}

/** Adds up one range over all threads; the others do the other ranges at the same time, each in its own cache. */
function combine(work: Work, { start, end, threads }: CombineRequest): ComputeResponses['combine'] {
  const { kernels, buffers } = required(work.attached, 'attached');
  addThreads({ kernels, sums: sumsOf(buffers, threads) }, { start, end }, buffers.total.subarray(start, end));
  return {};
}

/** The same, as mean, with grains that are in no sum yet. */
function average(work: Work, { start, end, threads, floats, divisor }: AverageRequest): ComputeResponses['average'] {
  const attached = required(work.attached, 'attached');
  const { kernels, buffers } = attached;
  const { quanta, mean, room } = buffers;
  const grains = floats.map((one) => floatsOf(attached, one));
  const sources = { sums: sumsOf(buffers, threads), floats: grains.map((one) => one.floats) };
  averageThreads({ kernels, ...sources, quanta, divisor, mean, room }, { start, end });
  return { flags: grains.map(({ flags }) => flags) };
}

const sumsOf = ({ grains }: ThreadBuffers, threads: readonly number[]): Int32Array[] =>
  threads.map((thread) => grains[thread].sums);

function apply(work: Work, request: ApplyRequest): ComputeResponses['apply'] {
  const { buffers, optimizer, regularization } = required(work.attached, 'attached');
  const own = required(work.layout, 'compiled');
  const { weights, mean } = buffers;
  applyRegularization(regularization, own, weights, mean);
  optimizer.apply({
    weights,
    gradients: mean,
    slots: new Map(buffers.slots),
    step: request.step,
    learningRate: request.learningRate,
  });
  return { weightsSha256: hashWeights(own, weights) };
}

async function evaluate(work: Work, request: EvaluateRequest): Promise<ComputeResponses['evaluate']> {
  const { buffers } = required(work.attached, 'attached');
  return { metrics: await required(work.compiled, 'compiled').evaluate(buffers.weights, request.batch) };
}

function answer(work: Work, request: ComputeRequest, onProgress: OnProgress): Promise<object> | object {
  switch (request.kind) {
    case 'compile':
      return compile(work, request);
    case 'attach':
      return attach(work, request);
    case 'grain':
      return grain(work, request, onProgress);
    case 'settle':
      return settle(work, request);
    case 'combine':
      return combine(work, request);
    case 'average':
      return average(work, request);
    case 'apply':
      return apply(work, request);
    case 'evaluate':
      return evaluate(work, request);
  }
  return request satisfies never;
}

export type Answer = (request: ComputeRequest, onProgress: OnProgress) => Promise<object>;

/** @returns answers requests one at a time, in the order of calls: a handler that awaits must not let the next one in. */
export function createComputeWork(makeEngine: MakeEngine): Answer {
  const work: Work = { makeEngine };
  let last: Promise<unknown> = Promise.resolve();
  return (request, onProgress) => {
    const answered = last.then(() => answer(work, request, onProgress));
    last = answered.catch(() => {});
    return answered;
  };
}
