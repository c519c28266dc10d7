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
import { addThreads, averageThreads, createKernels, type Kernels, roundingFor, THREAD_PIECE_VALUES } from '@coord/ring';
import type {
  ApplyRequest,
  AttachRequest,
  CombineRequest,
  CompileRequest,
  ComputeRequest,
  ComputeResponses,
  EvaluateRequest,
  GrainRequest,
  OnProgress,
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

/** Computes a grain and adds it to the thread's sums, bucket by bucket where it is asked for in stages. */
async function grain(work: Work, request: GrainRequest, onProgress: OnProgress): Promise<ComputeResponses['grain']> {
  const { buffers, buckets, kernels, wire, roundingKey } = required(work.attached, 'attached');
  const { weights, gradient, quanta, sums, exponents } = buffers;
  const flags = { overflow: false, nonFinite: false };
  const quantise = ({ start, end }: ElementRange) => {
    const blocks = [start / BLOCK_SIZE, end / BLOCK_SIZE] as const;
    const { overflow, firstNonFiniteBlock } = kernels.quantiseGrain(
      gradient.subarray(start, end),
      quanta.subarray(...blocks),
      request.grains,
      sums.subarray(start, end),
      exponents.subarray(...blocks),
      request.mode,
      wire,
      roundingFor(wire, { key: roundingKey, step: request.step, grain: request.grain, firstBlock: blocks[0] }),
    );
    flags.overflow ||= overflow;
    flags.nonFinite ||= firstNonFiniteBlock >= 0;
  };
  const onComplete = (bucket: number) => {
    quantise(buckets[bucket]);
    onProgress({ bucket });
  };
  const key = { step: request.step, grain: request.grain };
  const metrics = await required(work.compiled, 'compiled').gradient(weights, request.batch, key, gradient, {
    weightsId: request.weightsSha256,
    stages: request.inStages ? { buckets, onComplete } : undefined,
  });
  if (!request.inStages) quantise({ start: 0, end: gradient.length });
  return { metrics, ...flags };
}

/** Adds up one range over all threads; the others do the other ranges at the same time, each in its own cache. */
function combine(work: Work, { start, end, divisor }: CombineRequest): ComputeResponses['combine'] {
  const attached = required(work.attached, 'attached');
  const { kernels, buffers } = attached;
  const { allSums, quanta, mean } = buffers;
  const total = buffers.total.subarray(start, end);
  if (divisor === undefined) addThreads({ kernels, allSums }, { start, end }, total);
  else
    averageThreads(
      { kernels, allSums, quanta, divisor, mean, room: total.subarray(0, THREAD_PIECE_VALUES) },
      { start, end },
    );
  return {};
}

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
    case 'combine':
      return combine(work, request);
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
