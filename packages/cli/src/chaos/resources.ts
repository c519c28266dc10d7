/** What the processes of a run hold, over time, and whether it grows. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { median } from '../bench/statistics.js';
import { holdingsFile } from './inside-files.js';
import type { CoordProcess } from './process.js';

export interface Sample {
  readonly atMs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly openFiles: number;
  readonly threads: number;
  /** What keeps the event loop alive, by Node's own count. */
  readonly handles: number;
}

/** The samples of one process, from its start to its end. */
export interface ProcessSeries {
  readonly who: string;
  readonly pid: number;
  readonly samples: Sample[];
}

const QUANTITIES = ['rssBytes', 'heapBytes', 'openFiles', 'threads', 'handles'] as const;
export type Quantity = (typeof QUANTITIES)[number];

export interface Growth {
  readonly who: string;
  readonly pid: number;
  readonly quantity: Quantity;
  readonly before: number;
  readonly after: number;
  readonly grows: boolean;
}

/** What a quantity may grow by from the middle of a life to its end: allocators and ledgers breathe. */
const ALLOWANCE: Readonly<Record<Quantity, { readonly share: number; readonly amount: number }>> = {
  rssBytes: { share: 0.2, amount: 48 * 1024 * 1024 },
  heapBytes: { share: 0.3, amount: 24 * 1024 * 1024 },
  openFiles: { share: 0, amount: 6 },
  // V8 and libuv start some of theirs late.
  threads: { share: 0, amount: 4 },
  handles: { share: 0, amount: 8 },
};
/** Shorter lives say nothing about growth. */
const MIN_SAMPLES = 12;
/** A life begins with compiling and filling caches. */
const WARMUP_SHARE = 0.25;

export class ResourceWatch {
  readonly #series = new Map<number, ProcessSeries>();

  constructor(
    private readonly insideDirectory: string,
    private readonly nowMs: () => number,
  ) {}

  get series(): ProcessSeries[] {
    return [...this.#series.values()];
  }

  sample(processes: readonly (readonly [string, CoordProcess])[]): void {
    for (const [who, process] of processes) {
      const held = this.#look(process.pid);
      if (!held) continue;
      const { pid } = process;
      const series = this.#series.get(pid) ?? { who, pid, samples: [] };
      this.#series.set(pid, series);
      series.samples.push(held);
      // It writes down what the next sample reads.
      process.signal('SIGUSR2');
    }
  }

  /** Undefined for a process that has ended, or has not come as far as to be asked. */
  #look(pid: number): Sample | undefined {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const openFiles = readdirSync(`/proc/${pid}/fd`).length;
      const { handles, heapBytes } = JSON.parse(readFileSync(join(this.insideDirectory, holdingsFile(pid)), 'utf8'));
      const rssBytes = numberIn(status, 'VmRSS') * 1024;
      return { atMs: this.nowMs(), rssBytes, threads: numberIn(status, 'Threads'), openFiles, handles, heapBytes };
    } catch {
      return undefined;
    }
  }
}

const numberIn = (status: string, key: string): number =>
  Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1]);

/** Compares the middle of each long life with its end. Pure. */
export function growthOf(series: readonly ProcessSeries[]): Growth[] {
  return series.flatMap(({ who, pid, samples }) => {
    if (samples.length < MIN_SAMPLES) return [];
    const settled = samples.slice(Math.floor(samples.length * WARMUP_SHARE));
    const third = Math.floor(settled.length / 3);
    return QUANTITIES.map((quantity) => {
      const medianOf = (part: readonly Sample[]) => median(part.map((sample) => sample[quantity]));
      const before = medianOf(settled.slice(0, third));
      const after = medianOf(settled.slice(-third));
      const { share, amount } = ALLOWANCE[quantity];
      return { who, pid, quantity, before, after, grows: after > before + Math.max(amount, before * share) };
    });
  });
}
