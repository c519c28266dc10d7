/**
 * Executes recorded steps again, in one process and one plain loop: no ring, no workers, and the JavaScript reference of the
 * exact sum instead of its kernels. That a cluster came to the same bits proves them both.
 */
import { type BatchReader, createBatchReader, type PreparedDataset, sampleOrder } from '@coord/data';
import {
  applyRegularization,
  type CompiledStep,
  createEngine,
  createOptimizer,
  type Engine,
  learningRateAt,
  type Optimizer,
  stepSpecOf,
} from '@coord/engine';
import {
  type Batch,
  CoordError,
  type Grain,
  hashWeights,
  identityText,
  planStep,
  type RunSpec,
  type StepPlan,
  streamKey,
  type TrainingState,
} from '@coord/protocol';
import { dequantise, quantaFor, quantiseGrain, rememberExponents, roundingFor } from '@coord/ring';
import { planOf, totalStepsOf } from '../initial-state.js';

export interface Execution {
  /** Numeric identity of the engine that computed here. */
  readonly identity: string;
  /** Step → weights hash, for each executed step. */
  readonly hashes: ReadonlyMap<number, string>;
}

interface Bench {
  readonly spec: RunSpec;
  readonly state: TrainingState & { step: number };
  readonly compiled: CompiledStep;
  readonly optimizer: Optimizer;
  readonly reader: BatchReader;
  readonly gradient: Float32Array;
  readonly sums: Int32Array;
  readonly exponents: Uint8Array;
  readonly quanta: Uint8Array;
}

/**
 * @param state where to begin; it is changed.
 * @param lastStep executes up to this step.
 * @throws CoordError ENGINE_*, BLOCK_UNAVAILABLE.
 */
export async function executeSteps(
  spec: RunSpec,
  dataset: PreparedDataset,
  state: TrainingState,
  lastStep: number,
): Promise<Execution> {
  const engine = await createEngine(spec.engine);
  try {
    const bench = await setUp(spec, dataset, state, engine);
    const hashes = new Map<number, string>();
    while (bench.state.step < lastStep) {
      await executeStep(bench);
      hashes.set(bench.state.step, hashWeights(state.layout, state.weights));
    }
    bench.compiled.dispose();
    return { identity: identityText(engine.identity), hashes };
  } finally {
    engine.dispose();
  }
}

async function setUp(spec: RunSpec, dataset: PreparedDataset, state: TrainingState, engine: Engine): Promise<Bench> {
  const { layout } = state;
  const compiled = await engine.compile({ ...stepSpecOf(spec), metrics: [] });
  return {
    spec,
    state,
    compiled,
    optimizer: createOptimizer(spec.optimizer, layout),
    reader: createBatchReader(spec.data, 'train', { get: (sha256) => blockOf(dataset, sha256) }),
    gradient: new Float32Array(layout.totalSize),
    sums: new Int32Array(layout.totalSize),
    exponents: new Uint8Array(layout.blockCount),
    quanta: new Uint8Array(layout.blockCount),
  };
}

async function executeStep(bench: Bench): Promise<void> {
  const { spec, state, quanta, exponents } = bench;
  const plan = planStep(planOf(spec), state.step);
  quantaFor(state.exponents, plan.grains.length, quanta, spec.ring.wire);
  let outcome = await addGrains(bench, plan);
  if (outcome.overflow && !outcome.nonFinite) {
    // As on the workers: what did not fit is quantised again, with the exponents just learnt.
    quantaFor(exponents.slice(), plan.grains.length, quanta, spec.ring.wire, true);
    outcome = await addGrains(bench, plan);
  }
  if (!outcome.nonFinite) update(bench, plan);
  state.step = plan.step + 1;
}

async function addGrains(bench: Bench, plan: StepPlan): Promise<{ overflow: boolean; nonFinite: boolean }> {
  const { compiled, state, gradient, quanta, sums, exponents } = bench;
  sums.fill(0);
  exponents.fill(0);
  const { wire } = bench.spec.ring;
  const outcome = { overflow: false, nonFinite: false };
  for (const grain of plan.grains) {
    const key = { step: plan.step, grain: grain.index };
    await compiled.gradient(state.weights, await batchOf(bench, grain), key, gradient);
    const rounding = roundingFor(wire, { key: streamKey(bench.spec.seed, 'rounding'), ...key, firstBlock: 0 });
    const added = quantiseGrain(gradient, quanta, plan.grains.length, sums, exponents, 'add', wire, rounding);
    outcome.overflow ||= added.overflow;
    outcome.nonFinite ||= added.firstNonFiniteBlock >= 0;
  }
  return outcome;
}

function update({ spec, state, optimizer, gradient, sums, exponents, quanta }: Bench, plan: StepPlan): void {
  const { weights, slots, layout } = state;
  dequantise(sums, quanta, plan.samples, gradient);
  applyRegularization(spec.regularization, layout, weights, gradient);
  const learningRate = learningRateAt(spec.schedule, spec.optimizer.learningRate, plan.step, totalStepsOf(spec));
  optimizer.apply({ weights, gradients: gradient, slots, step: plan.step, learningRate });
  rememberExponents(state.exponents, exponents);
}

function batchOf({ spec, reader }: Bench, { epoch, position, count }: Grain): Promise<Batch> {
  const order = sampleOrder(spec.seed, epoch, spec.data.train.samples);
  return reader.read(Array.from({ length: count }, (_, index) => order.at(position + index)));
}

async function blockOf(dataset: PreparedDataset, sha256: string): Promise<Uint8Array> {
  const block = await dataset.readBlock(sha256);
  if (block) return block;
  throw new CoordError('BLOCK_UNAVAILABLE', `${dataset.manifest.name} has no block ${sha256}`, { facts: { sha256 } });
}
