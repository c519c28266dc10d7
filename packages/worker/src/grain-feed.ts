/** Deals a step's grains to the compute threads, and keeps each thread supplied. */
import type { Grain } from '@coord/protocol';

/** Grains that a thread has at hand beyond the one in work, so that it never waits for the network thread. */
const AHEAD = 1;

interface Dealt {
  readonly grain: Grain;
  /** The thread gets no further grain in this step. */
  readonly isLast: boolean;
}

/**
 * Threads take grains as they come to need them, but for the last of each: that is set aside, because a thread must know
 * which grain completes its sums. Once the view has ended no further grain is dealt: the next one may give it to somebody quicker.
 */
export class GrainDeal {
  readonly #free: Grain[];
  /** By thread; with fewer grains than threads, the upper ones get none. */
  readonly #last: Map<number, Grain>;

  /** @param onDealt called when the last grain is taken. */
  constructor(
    grains: readonly Grain[],
    threads: number,
    private readonly onDealt: () => void,
    /** Of the view. */
    private readonly signal?: AbortSignal,
  ) {
    const free = Math.max(0, grains.length - threads);
    this.#free = grains.slice(0, free);
    this.#last = new Map(grains.slice(free).entries());
  }

  take(thread: number): Dealt | undefined {
    if (this.signal?.aborted) return undefined;
    const free = this.#free.shift();
    if (free) return { grain: free, isLast: false };
    const last = this.#last.get(thread);
    if (!last) return undefined;
    this.#last.delete(thread);
    if (this.#last.size === 0) this.onDealt();
    return { grain: last, isLast: true };
  }
}

/**
 * Hands a thread one grain after the other, in order.
 *
 * @param load makes what `compute` needs; one at a time, while earlier grains compute.
 * @throws the first error of either; nothing is in work any more then.
 */
export async function feedThread<Loaded>(
  deal: GrainDeal,
  thread: number,
  load: (grain: Grain) => Promise<Loaded>,
  compute: (dealt: Dealt, loaded: Loaded) => Promise<void>,
): Promise<void> {
  const inWork: Promise<void>[] = [];
  try {
    for (let dealt = deal.take(thread); dealt; dealt = deal.take(thread)) {
      const computing = compute(dealt, await load(dealt.grain));
      computing.catch(() => {}); // reported when it is awaited
      inWork.push(computing);
      if (inWork.length > AHEAD) await inWork.shift();
    }
    await Promise.all(inWork);
  } finally {
    await Promise.allSettled(inWork);
  }
}

/**
 * Feeds all threads at once.
 *
 * @throws an error of one of them, when nothing is in work on any: a grain that were added to the sums later would be computed by
 *   others too.
 */
export async function feedThreads(threads: number, feed: (thread: number) => Promise<void>): Promise<void> {
  const fed = await Promise.allSettled(Array.from({ length: threads }, (_, thread) => feed(thread)));
  for (const one of fed) if (one.status === 'rejected') throw one.reason;
}
