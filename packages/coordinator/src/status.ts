/** Status: what GET /status answers. Plain data, for `coord status`, dashboards and scripts. */
import {
  identityText,
  isMatrix,
  type MetricValues,
  type PeerEndpoint,
  type PhaseTimes,
  type RingActivity,
} from '@coord/protocol';
import type { Conductor } from './conductor.js';
import type { CoordinatorOptions } from './options.js';
import type { RunPhase, Shortage } from './run-stage.js';
import { epochsCompleted, totalStepsOf } from './schedule.js';
import type { Straggler } from './stragglers.js';
import type { WorkerSession } from './worker-session.js';

export interface WorkerStatus {
  readonly workerId: string;
  readonly name: string;
  readonly hostName: string;
  readonly remote: string;
  /** Place in the ring; null outside of it. */
  readonly rank: number | null;
  readonly phase: string;
  /** How long it had been in its phase at its last heartbeat; null before the first. */
  readonly phaseMs: number | null;
  /** The ring operation that it was in at its last heartbeat, or the last one before. */
  readonly ring: RingActivity | null;
  readonly step: number;
  readonly share: number | null;
  readonly engine: string | null;
  readonly endpoint: PeerEndpoint | null;
  readonly heartbeatAgeMs: number;
  /** Of its own samples in its last step. */
  readonly samplesPerSecond: number;
  readonly times: PhaseTimes | null;
}

export interface StragglerStatus {
  readonly workerId: string;
  readonly name: string;
  /** Its time for a sample, as a multiple of the others'. */
  readonly factor: number;
  /** What its own samples of a step take longer than those of the others. */
  readonly extraMs: number;
  /** Since it was named. */
  readonly forMs: number;
  readonly forSteps: number;
}

type StatusMetrics = Pick<MetricValues, 'loss' | 'accuracy' | 'metrics'>;

export interface ClusterStatus {
  readonly run: {
    readonly runId: string;
    readonly configSha256: string;
    readonly seed: number;
    readonly epochs: number;
  };
  readonly model: string;
  readonly phase: RunPhase;
  readonly step: number;
  readonly totalSteps: number;
  /** Epochs completed. */
  readonly epoch: number;
  readonly view: {
    readonly generation: number;
    readonly members: readonly string[];
    readonly reason: string;
  } | null;
  readonly minWorkers: number;
  /** While too few workers are ready for a view: how many there are, and why. */
  readonly shortage: Shortage | null;
  readonly workers: readonly WorkerStatus[];
  /** Workers that hold the others up, for several steps in a row. */
  readonly stragglers: readonly StragglerStatus[];
  readonly samplesPerSecond: number;
  /** Of the last settled step. */
  readonly metrics: StatusMetrics | null;
  readonly weightsSha256: string;
  readonly evaluation: (StatusMetrics & { readonly step: number; readonly epoch: number }) | null;
  readonly checkpoint: { readonly step: number; readonly path: string; readonly weightsSha256: string } | null;
  /** Since the first view. */
  readonly seconds: number;
}

export function statusOf(conductor: Conductor, options: CoordinatorOptions, nowMs: number): ClusterStatus {
  const { run, minWorkers } = options;
  const { progress, checkpointer, stage } = conductor;
  const { view } = stage;
  const last = progress.lastStep;
  const evaluation = progress.lastEvaluation;
  return {
    run: { runId: run.runId, configSha256: run.configSha256, seed: run.seed, epochs: run.epochs },
    model: run.model.name,
    phase: stage.phase,
    step: progress.book.step,
    totalSteps: totalStepsOf(run),
    epoch: epochsCompleted(run, progress.book.step),
    view: view
      ? { generation: view.generation, members: view.members.map((one) => one.workerId), reason: view.reason }
      : null,
    minWorkers,
    shortage: stage.shortage ?? null,
    workers: conductor.roster.all.map((session) => workerStatus(conductor, session, nowMs)),
    stragglers: conductor.stragglers.map((straggler) => stragglerStatus(conductor, straggler, nowMs)),
    samplesPerSecond: progress.samplesPerSecond,
    metrics: last ? metricsOf(last) : null,
    weightsSha256: last?.weightsSha256 ?? checkpointer.newest.header.weightsSha256,
    evaluation: evaluation ? { step: evaluation.step, epoch: evaluation.epoch, ...metricsOf(evaluation) } : null,
    checkpoint: checkpointer.lastSaved ?? null,
    seconds: progress.seconds,
  };
}

/** Without matrices, which are too long for what is asked for every second. */
function metricsOf({ loss, accuracy, metrics }: MetricValues): StatusMetrics {
  const numbers = Object.entries(metrics).filter(([, value]) => !isMatrix(value));
  return { loss, accuracy, metrics: Object.fromEntries(numbers) };
}

function stragglerStatus(conductor: Conductor, straggler: Straggler, nowMs: number): StragglerStatus {
  const { workerId, factor, extraMs, sinceMs, steps } = straggler;
  const name = conductor.roster.get(workerId)?.hello.name ?? workerId;
  return { workerId, name, factor, extraMs, forMs: Math.round(nowMs - sinceMs), forSteps: steps };
}

function workerStatus(conductor: Conductor, session: WorkerSession, nowMs: number): WorkerStatus {
  const { workerId, hello, remote, phase, step, ready, times, ownSamples, lastHeartbeat } = session;
  const { members, workers } = conductor.roster.membership;
  const rank = members.indexOf(workerId);
  return {
    workerId,
    name: hello.name,
    hostName: hello.hostName,
    remote,
    rank: rank < 0 ? null : rank,
    phase,
    phaseMs: lastHeartbeat?.phaseMs ?? null,
    ring: lastHeartbeat?.ring ?? null,
    step,
    share: workers.get(workerId)?.candidate?.share ?? null,
    engine: ready ? identityText(ready.identity) : null,
    endpoint: ready?.endpoint ?? null,
    heartbeatAgeMs: Math.round(nowMs - (workers.get(workerId)?.heardMs ?? nowMs)),
    samplesPerSecond: times && times.totalMs > 0 ? (ownSamples / times.totalMs) * 1000 : 0,
    times: times ?? null,
  };
}
