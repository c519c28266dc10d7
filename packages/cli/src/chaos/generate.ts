/** Draws a schedule of faults. A pure function: the same options give the same schedule. */
import { type PhiloxKey, philox, streamKey } from '@coord/protocol';
import { FAULT_KINDS, type Fault, type FaultKind, type Schedule } from './schedule.js';

export interface GenerateOptions {
  readonly seed: number;
  readonly workers: number;
  readonly count: number;
  readonly kinds: readonly FaultKind[];
  /** What the faults are spread over, evenly but for a jitter. */
  readonly span: { readonly unit: 'atStep' | 'atMs'; readonly from: number; readonly to: number };
  /** The first so many workers are never ended, nor is the coordinator. */
  readonly spare: number;
}

/** Kinds that end a process. */
const ENDING: readonly FaultKind[] = ['kill', 'leave', 'coordinator-kill'];

/** Silence of 3 s counts as a loss: half of the pauses are shorter. */
const SHORT_MS = [300, 2000] as const;
const LONG_MS = [3500, 5000] as const;
const RESTART_MS = [100, 1500] as const;
const HOUR_MS = 3_600_000;

/** Every kind comes equally often, but for one; in random order, on random workers. */
export function generateSchedule(options: GenerateOptions): Schedule {
  const { seed, workers, count, span } = options;
  const random = randomOf(streamKey(seed, 'chaos'));
  const kinds = drawKinds(options, random);
  const slot = (span.to - span.from) / Math.max(1, count);
  const faults = kinds.map((kind, index) => {
    const at = Math.round(span.from + (index + 0.8 * random()) * slot);
    return drawFault(kind, { [span.unit]: at }, options, random);
  });
  return { seed, workers, faults };
}

type Random = () => number;

/** Uniform in [0, 1), from a counter. */
function randomOf(key: PhiloxKey): Random {
  const out = new Uint32Array(4);
  let counter = 0;
  return () => {
    philox(key, [counter++, 0, 0, 0], out);
    return out[0] / 2 ** 32;
  };
}

const pick = <T>(items: readonly T[], random: Random): T => items[Math.floor(random() * items.length)];
const between = ([low, high]: readonly [number, number], random: Random): number =>
  Math.round(low + random() * (high - low));

function drawKinds({ count, kinds, spare, workers }: GenerateOptions, random: Random): FaultKind[] {
  const possible = FAULT_KINDS.filter((kind) => kinds.includes(kind)).filter((kind) => {
    if (kind === 'coordinator-kill') return spare === 0;
    return spare < workers || !ENDING.includes(kind);
  });
  const drawn: FaultKind[] = [];
  while (possible.length > 0 && drawn.length < count) drawn.push(...shuffled(possible, random));
  return drawn.slice(0, count);
}

/** R. A. Fisher, F. Yates. */
function shuffled<T>(items: readonly T[], random: Random): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

function drawFault(
  kind: FaultKind,
  at: Pick<Fault, 'atStep' | 'atMs'>,
  { workers, spare }: GenerateOptions,
  random: Random,
): Fault {
  const first = ENDING.includes(kind) ? spare : 0;
  const worker = first + 1 + Math.floor(random() * (workers - first));
  const pauseMs = between(random() < 0.5 ? SHORT_MS : LONG_MS, random);
  switch (kind) {
    case 'kill':
    case 'leave':
      return { kind, ...at, worker, forMs: between(RESTART_MS, random) };
    case 'stop':
    case 'partition':
    case 'cut':
      return { kind, ...at, worker, forMs: pauseMs };
    case 'join':
    case 'disk-full':
      return { kind, ...at, forMs: pauseMs };
    case 'coordinator-kill':
      return { kind, ...at, forMs: between(RESTART_MS, random) };
    case 'slow-link':
      return { kind, ...at, worker, forMs: pauseMs, delayMs: pick([1, 5, 20], random), bytesPerSecond: 2_000_000 };
    case 'corrupt':
      return { kind, ...at, worker, link: pick(['ring', 'ring', 'coordinator'], random) };
    case 'clock-jump': {
      const byMs = pick([-24, -1, 1, 24 * 365], random) * HOUR_MS;
      return random() < 0.5 ? { kind, ...at, byMs } : { kind, ...at, worker, byMs };
    }
  }
}
