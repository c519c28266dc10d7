/**
 * A compute thread: the only place of a host where a tensor library runs. It blocks for the length of a grain, which is why
 * links, heartbeats and the all-reduce live on another thread.
 */
import { parentPort } from 'node:worker_threads';
import { applyRegularization, type CompiledStep, createEngine, createOptimizer, type Optimizer } from '@coord/engine';
import { CoordError, createLayout, hashWeights, type Layout, toErrorRecord } from '@coord/protocol';
import { createKernels, type Kernels } from '@coord/ring';
import type {
  ApplyRequest,
  AttachRequest,
  CombineRequest,
  CompileRequest,
  ComputeRequest,
  ComputeResponses,
  EvaluateRequest,
  GrainRequest,
  ThreadBuffers,
} from './requests.js';

interface Attached {
  readonly buffers: ThreadBuffers;
  readonly kernels: Kernels;
  readonly optimizer: Optimizer;
  readonly regularization: AttachRequest['regularization'];
}

let compiled: CompiledStep | undefined;
let layout: Layout | undefined;
let attached: Attached | undefined;

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined)
    throw new CoordError('ENGINE_FAILED', `a compute thread was asked to work before it was ${what}`);
  return value;
}

async function compile(request: CompileRequest): Promise<ComputeResponses['compile']> {
  const engine = await createEngine(request.engine);
  compiled = await engine.compile({
    topology: request.topology,
    loss: request.loss,
    inputs: [...request.inputs],
    targets: [...request.targets],
    seed: request.seed,
  });
  const parameters = compiled.layout.parameters.map(({ name, shape, role }) => ({ name, shape, role }));
  layout = createLayout(parameters);
  return { identity: engine.identity, parameters };
}

function attach(request: AttachRequest): ComputeResponses['attach'] {
  attached = {
    buffers: request.buffers,
    kernels: createKernels(request.memory),
    optimizer: createOptimizer(request.optimizer, required(layout, 'compiled'), { memory: request.memory }),
    regularization: request.regularization,
  };
  return {};
}

async function grain(request: GrainRequest): Promise<ComputeResponses['grain']> {
  const { buffers, kernels } = required(attached, 'attached');
  const step = required(compiled, 'compiled');
  const key = { step: request.step, grain: request.grain };
  const { weights, gradient } = buffers;
  const metrics = await step.gradient(weights, request.batch, key, gradient, request.weightsSha256);
  const { overflow, firstNonFiniteBlock } = kernels.quantiseGrain(
    buffers.gradient,
    buffers.quanta,
    request.grains,
    buffers.sums,
    buffers.exponents,
  );
  return { metrics, overflow, nonFinite: firstNonFiniteBlock >= 0 };
}

/** Adds up one range over all threads; the others do the other ranges at the same time, each in its own cache. */
function combine({ start, end }: CombineRequest): ComputeResponses['combine'] {
  const { buffers, kernels } = required(attached, 'attached');
  const into = buffers.total.subarray(start, end);
  const [first, ...others] = buffers.allSums.map((sums) => sums.subarray(start, end));
  others.forEach((sums, index) => {
    kernels.addInt32(into, index === 0 ? first : into, sums);
  });
  return {};
}

function apply(request: ApplyRequest): ComputeResponses['apply'] {
  const { buffers, kernels, optimizer, regularization } = required(attached, 'attached');
  const own = required(layout, 'compiled');
  const { weights, gradient } = buffers;
  kernels.dequantise(buffers.total, buffers.quanta, request.samples, gradient);
  applyRegularization(regularization, own, weights, gradient);
  optimizer.apply({
    weights,
    gradients: gradient,
    slots: new Map(buffers.slots),
    step: request.step,
    learningRate: request.learningRate,
  });
  return { weightsSha256: hashWeights(own, weights) };
}

async function evaluate(request: EvaluateRequest): Promise<ComputeResponses['evaluate']> {
  const { buffers } = required(attached, 'attached');
  return { metrics: await required(compiled, 'compiled').evaluate(buffers.weights, request.batch) };
}

function answer(request: ComputeRequest): Promise<object> | object {
  switch (request.kind) {
    case 'compile':
      return compile(request);
    case 'attach':
      return attach(request);
    case 'grain':
      return grain(request);
    case 'combine':
      return combine(request);
    case 'apply':
      return apply(request);
    case 'evaluate':
      return evaluate(request);
  }
  return request satisfies never;
}

const port = required(parentPort ?? undefined, 'started as a thread');
// One request at a time, in order of arrival: a handler that awaits must not let the next one in.
let last: Promise<void> = Promise.resolve();
port.on('message', ({ id, request }: { id: number; request: ComputeRequest }) => {
  last = last.then(async () => {
    try {
      port.postMessage({ id, response: await answer(request) });
    } catch (error) {
      port.postMessage({ id, error: toErrorRecord(error) });
    }
  });
});
