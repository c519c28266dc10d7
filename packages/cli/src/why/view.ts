/** A diagnosis in words. Pure. */
import { formatDuration, formatTable } from '../view/format.js';
import { type Diagnosis, isWaiting, ownMs, type Reading, type WorkerReading } from './diagnose.js';

export function formatWhy(reading: Reading, diagnosis: Diagnosis): string {
  return [`${sentence(reading, diagnosis)}`, `next: ${advice(diagnosis)}`, '', table(reading.workers)].join('\n');
}

const label = ({ workerId, name, hostName, rank }: WorkerReading): string =>
  `${workerId} (${name} on ${hostName}${rank === null ? '' : `, rank ${rank}`})`;

const seconds = (ms: number): string => formatDuration(ms / 1000);

export function sentence(reading: Reading, { verdict, worker, waiters }: Diagnosis): string {
  const others = waiters.length === 0 ? '' : `; ${waiters.map(({ workerId }) => workerId).join(', ')} wait for it`;
  switch (verdict) {
    case 'silent':
      return `${label(worker!)} has been silent for ${seconds(worker!.heartbeatAgeMs)}; ${lastWords(worker!)}${others}`;
    case 'busy':
      return `${label(worker!)} has been in phase ${worker!.phase} for ${seconds(worker!.phaseMs ?? 0)} at step ${worker!.step}${others}`;
    case 'straggler':
      return `${label(worker!)} is the slowest: ${ownMs(worker!).toFixed(1)} ms a step for its own samples, and the others wait for it`;
    case 'waiting':
      return reading.shortage?.reason ?? 'waiting for workers';
    case 'starting':
      return 'workers are coming up: no view is formed yet';
    case 'healthy':
      return `nothing holds the run up: ${reading.phase}, ${reading.step} steps are complete${lastView(reading)}`;
  }
  return verdict satisfies never;
}

const lastView = ({ view }: Reading): string =>
  view ? `; view ${view.generation} was formed because ${view.reason}` : '';

function lastWords({ phase, step, ring }: WorkerReading): string {
  const where = `it was last in phase ${phase} after step ${step}`;
  return ring ? `${where}, ring operation ${ringText(ring)}` : where;
}

const ringText = ({ operation, sequence, isDone }: NonNullable<WorkerReading['ring']>): string =>
  `${operation} ${sequence} ${isDone ? 'done' : 'begun'}`;

function advice({ verdict }: Diagnosis): string {
  switch (verdict) {
    case 'silent':
      return 'look at that process and machine (stopped, swapping, cut off?); in three seconds of silence it is left out and the others go on.';
    case 'busy':
      return 'look at the load of that machine; its log and flight record (`coord timeline RUN`) say what it did before.';
    case 'straggler':
      return 'shares follow measured speed by themselves; if it stays so, the machine is busy with something else.';
    case 'waiting':
      return 'start more workers: `coord worker URL` on any machine that reaches the coordinator.';
    case 'starting':
      return 'wait: compiling a model takes seconds, copying the state as long as the network needs.';
    case 'healthy':
      return 'nothing to do.';
  }
  return verdict satisfies never;
}

function table(workers: readonly WorkerReading[]): string {
  if (workers.length === 0) return 'no workers';
  const rows = workers.map((worker) => [
    worker.workerId,
    worker.name,
    worker.hostName,
    worker.rank === null ? '–' : String(worker.rank),
    worker.phase,
    worker.phaseMs === null ? '–' : seconds(worker.phaseMs),
    String(worker.step),
    worker.ring ? ringText(worker.ring) : '–',
    isWaiting(worker) ? (worker.ring?.waitsFor ?? '–') : '–',
    `${Math.round(worker.heartbeatAgeMs)} ms`,
  ]);
  return formatTable(['worker', 'name', 'host', 'rank', 'phase', 'for', 'step', 'ring', 'waits for', 'heard'], rows);
}
