/**
 * One trace of a whole cluster, in the Trace Event Format that Perfetto (ui.perfetto.dev) and chrome://tracing read. Each
 * worker is a process with a track for its phases and one for its ring; the coordinator is one with its ledger. Pure.
 *
 * Clocks: a worker's times are moved by the offset in its record, so all are the coordinator's wall clock.
 */
import type { LedgerEntry, LedgerRecord } from '@coord/coordinator';
import type { FlightEvent } from '@coord/protocol';
import type { FlightRecord } from './flight-file.js';

/** `ph`: X has a duration, i is an instant, M is a name. Times are in µs. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'i' | 'M';
  readonly ts: number;
  readonly pid: number;
  readonly tid: number;
  readonly dur?: number;
  /** Scope of an instant: its process. */
  readonly s?: 'p';
  readonly args?: Readonly<Record<string, unknown>>;
}

const COORDINATOR = 0;
const PHASES = 1;
const RING = 2;

export function traceOf(ledger: readonly LedgerRecord[], flights: readonly FlightRecord[]): TraceEvent[] {
  const workers = flights.flatMap((flight, index) => workerEvents(flight, index + 1));
  const events = [...coordinatorEvents(ledger), ...workers];
  const times = events.filter(({ ph }) => ph !== 'M').map(({ ts }) => ts);
  const startUs = times.reduce((least, ts) => Math.min(least, ts), Number.POSITIVE_INFINITY);
  // From 0, so that no digits are lost to the years since 1970.
  return events.map((event) =>
    event.ph === 'M' ? event : { ...event, ts: Math.round((event.ts - startUs) * 10) / 10 },
  );
}

const nameOf = (pid: number, name: string): TraceEvent => ({
  name: 'process_name',
  ph: 'M',
  ts: 0,
  pid,
  tid: 0,
  args: { name },
});

const trackOf = (pid: number, tid: number, name: string): TraceEvent => ({
  name: 'thread_name',
  ph: 'M',
  ts: 0,
  pid,
  tid,
  args: { name },
});

/** Facts that are only of use beside others of their kind are left to the ledger. */
const SHOWN: ReadonlySet<LedgerEntry['type']> = new Set([
  'run-started',
  'worker-joined',
  'worker-ready',
  'worker-left',
  'worker-lost',
  'worker-diverged',
  'worker-repaired',
  'replicas-split',
  'recovered',
  'view',
  'rewound',
  'step',
  'evaluation',
  'checkpoint',
  'stopped',
  'failed',
  'finished',
]);

function coordinatorEvents(ledger: readonly LedgerRecord[]): TraceEvent[] {
  const instants = ledger
    .filter(({ entry }) => SHOWN.has(entry.type))
    .map(({ time, entry }): TraceEvent => {
      const ts = Date.parse(time) * 1000;
      return { name: titleOf(entry), ph: 'i', ts, pid: COORDINATOR, tid: PHASES, s: 'p', args: { ...entry } };
    });
  return [nameOf(COORDINATOR, 'coordinator'), trackOf(COORDINATOR, PHASES, 'ledger'), ...instants];
}

function titleOf(entry: LedgerEntry): string {
  if (entry.type === 'view') return `view ${entry.generation}`;
  return 'step' in entry ? `${entry.type} ${entry.step}` : entry.type;
}

function workerEvents({ header, events }: FlightRecord, pid: number): TraceEvent[] {
  const offsetMs = header.clock?.offsetMs ?? 0;
  const at = (atMs: number) => (atMs + offsetMs) * 1000;
  const uncertain = header.clock ? `± ${(header.clock.roundTripMs / 2).toFixed(2)} ms` : 'clock not aligned';
  return [
    nameOf(pid, `${header.workerId} ${header.name} on ${header.hostName} (${uncertain})`),
    trackOf(pid, PHASES, 'phase'),
    trackOf(pid, RING, 'ring'),
    ...phaseSpans(events).map((span) => toTrace(span, pid, PHASES, at)),
    ...ringSpans(events).map((span) => toTrace(span, pid, RING, at)),
    ...events.flatMap((event) => instantOf(event, pid, at)),
  ];
}

interface Span {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly args: Readonly<Record<string, unknown>>;
}

const toTrace = ({ name, startMs, endMs, args }: Span, pid: number, tid: number, at: (ms: number) => number) =>
  ({ name, ph: 'X', ts: at(startMs), dur: (endMs - startMs) * 1000, pid, tid, args }) satisfies TraceEvent;

/** A phase lasts until the next one begins; the last one until the end of the record. */
function phaseSpans(events: readonly FlightEvent[]): Span[] {
  const phases = events.filter((event) => event.kind === 'phase');
  const endMs = events.at(-1)?.atMs ?? 0;
  return phases.map(({ phase, atMs, step, generation }, index) => {
    const until = phases[index + 1]?.atMs ?? endMs;
    return { name: phase, startMs: atMs, endMs: until, args: { step, generation } };
  });
}

/** Operations of one ring do not overlap, so a begin belongs to the end that follows. One without an end failed or hung. */
function ringSpans(events: readonly FlightEvent[]): Span[] {
  const ring = events.filter((event) => event.kind === 'ring');
  const endMs = events.at(-1)?.atMs ?? 0;
  return ring.flatMap((event, index) => {
    if (event.edge !== 'begin') return [];
    const { operation, sequence, generation, sizeBytes, atMs } = event;
    const next = ring[index + 1];
    const outcome = next && next.edge !== 'begin' ? next.edge : 'unfinished';
    const waitedMs = next && next.edge !== 'begin' ? next.waitedMs : undefined;
    const args = { sequence, generation, sizeBytes, outcome, waitedMs };
    return [{ name: `${operation} ${sequence}`, startMs: atMs, endMs: next?.atMs ?? endMs, args }];
  });
}

function instantOf(event: FlightEvent, pid: number, at: (ms: number) => number): TraceEvent[] {
  if (event.kind !== 'view' && event.kind !== 'failure') return [];
  const { kind, atMs, ...args } = event;
  const name = event.kind === 'view' ? `view ${event.generation}` : event.code;
  return [{ name, ph: 'i', ts: at(atMs), pid, tid: PHASES, s: 'p', args: { kind, ...args } }];
}
