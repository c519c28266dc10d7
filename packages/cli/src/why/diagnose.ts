/**
 * Why a run does not go on, from one status of its coordinator. Pure.
 *
 * Everybody in a ring waits for the worker before it, or for a partner of recursive doubling, so a hang shows as a chain: follow
 * who waits for whom to the one that waits for nobody. That one is silent (its process or machine), or busy with something else than the ring.
 */
import { z } from 'zod';

const ringSchema = z.object({
  operation: z.string(),
  sequence: z.number(),
  isDone: z.boolean(),
  waitsFor: z.string().optional(),
});

const timesSchema = z.object({ loadMs: z.number(), computeMs: z.number(), waitMs: z.number(), totalMs: z.number() });

const workerSchema = z.object({
  workerId: z.string(),
  name: z.string(),
  hostName: z.string(),
  rank: z.number().nullable(),
  phase: z.string(),
  phaseMs: z.number().nullable(),
  step: z.number(),
  ring: ringSchema.nullable(),
  heartbeatAgeMs: z.number(),
  times: timesSchema.nullable(),
});
export type WorkerReading = z.infer<typeof workerSchema>;

/** What a diagnosis reads of a coordinator's status. */
export const readingSchema = z.object({
  phase: z.string(),
  step: z.number(),
  view: z.object({ generation: z.number(), reason: z.string() }).nullable(),
  shortage: z.object({ reason: z.string() }).nullable().default(null),
  workers: z.array(workerSchema),
});
export type Reading = z.infer<typeof readingSchema>;

export type Verdict =
  /** Nobody hears from this worker. */
  | 'silent'
  /** This worker has been busy for long while others wait for it. */
  | 'busy'
  /** All go on, but most of the time they wait for this worker. */
  | 'straggler'
  /** Too few workers for a view. */
  | 'waiting'
  /** Workers are coming up: they connect, compile or copy the state. */
  | 'starting'
  | 'healthy';

export interface Diagnosis {
  readonly verdict: Verdict;
  /** Whom it is about. */
  readonly worker: WorkerReading | undefined;
  /** Workers that wait for it, directly or through others. */
  readonly waiters: readonly WorkerReading[];
}

/** Heartbeats come every half second; two that are missing are no accident. */
const SILENT_MS = 1200;
/** A phase that takes so long while others wait is worth naming. */
const BUSY_MS = 2000;
/** A straggler costs the others at least this share of a step. */
const STRAGGLER_SHARE = 0.2;

export function diagnose({ workers, view }: Reading): Diagnosis {
  const silent = workers.filter((worker) => worker.heartbeatAgeMs > SILENT_MS);
  const quietest = largestBy(silent, ({ heartbeatAgeMs }) => heartbeatAgeMs);
  if (quietest) return about('silent', quietest, workers);
  const busy = busyWorker(workers);
  if (busy) return about('busy', busy, workers);
  if (!view) return { verdict: workers.some(isComingUp) ? 'starting' : 'waiting', worker: undefined, waiters: [] };
  const straggler = stragglerOf(workers);
  if (straggler) return about('straggler', straggler, workers);
  return { verdict: 'healthy', worker: undefined, waiters: [] };
}

function about(verdict: Verdict, worker: WorkerReading, workers: readonly WorkerReading[]): Diagnosis {
  const waiters = workers.filter((other) => other !== worker && endOfChain(other, workers) === worker);
  return { verdict, worker, waiters };
}

export const isWaiting = ({ phase, ring }: WorkerReading): boolean =>
  (phase === 'ring' || phase === 'syncing' || phase === 'evaluating') && ring !== null && !ring.isDone;

const isComingUp = ({ phase }: WorkerReading): boolean =>
  phase === 'joining' || phase === 'loading' || phase === 'compiling';

/** The worker that nobody else keeps waiting, at the end of who waits for whom; undefined when the chain is a circle. */
function endOfChain(start: WorkerReading, workers: readonly WorkerReading[]): WorkerReading | undefined {
  let at = start;
  for (let steps = 0; steps <= workers.length; steps++) {
    if (!isWaiting(at) || at.heartbeatAgeMs > SILENT_MS) return at;
    const next = workers.find(({ workerId }) => workerId === at.ring?.waitsFor);
    if (!next) return undefined;
    at = next;
  }
  return undefined;
}

/** Somebody waits for long, and the chain ends at a worker that does something else. */
function busyWorker(workers: readonly WorkerReading[]): WorkerReading | undefined {
  const stuck = workers.filter((worker) => isWaiting(worker) && (worker.phaseMs ?? 0) > BUSY_MS);
  const ends = stuck.map((worker) => endOfChain(worker, workers)).filter((end) => end !== undefined);
  return largestBy(ends, ({ phaseMs }) => phaseMs ?? 0);
}

/** The slowest at its own work, when the others spend much of a step on waiting. */
function stragglerOf(workers: readonly WorkerReading[]): WorkerReading | undefined {
  const measured = workers.filter(({ times, rank }) => times !== null && rank !== null);
  if (measured.length < 2) return undefined;
  const slowest = largestBy(measured, ownMs);
  const waits = measured
    .filter((worker) => worker !== slowest)
    .map(({ times }) => (times ? times.waitMs / Math.max(1e-3, times.totalMs) : 0));
  return Math.min(...waits) > STRAGGLER_SHARE ? slowest : undefined;
}

/** Time for its own samples, before the ring. */
export const ownMs = ({ times }: WorkerReading): number => (times ? times.loadMs + times.computeMs : 0);

function largestBy<T>(items: readonly T[], size: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (most, item) => (most === undefined || size(item) > size(most) ? item : most),
    undefined,
  );
}
