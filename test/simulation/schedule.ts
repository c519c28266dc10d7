/** Schedules of faults, as data: fast-check makes them from a seed, and shrinks one that fails. */
import fc from 'fast-check';

export type Fault =
  /** SIGKILL of a worker; another one joins after a while. */
  | { readonly kind: 'kill'; readonly worker: number; readonly backAfterMs: number }
  /** SIGSTOP and SIGCONT. */
  | { readonly kind: 'hang'; readonly worker: number; readonly forMs: number }
  /** Each of its grains takes so much longer. */
  | { readonly kind: 'slow'; readonly worker: number; readonly byMs: number; readonly forMs: number }
  /** Its compute threads are blocked for good; another worker joins. */
  | { readonly kind: 'stick'; readonly worker: number }
  | { readonly kind: 'join' }
  /** `coord drain`. */
  | { readonly kind: 'drain'; readonly worker: number }
  /** A worker is cut off from the coordinator, from another worker, or from everybody. */
  | {
      readonly kind: 'partition';
      readonly worker: number;
      readonly from: 'coordinator' | 'peer' | 'all';
      readonly forMs: number;
    }
  /** The connections between a worker and another, or all others, are reset, and new ones refused; both reach the coordinator. */
  | { readonly kind: 'cut'; readonly worker: number; readonly from: 'peer' | 'peers'; readonly forMs: number }
  /** One connection is lost, whichever: control, ring, or copy of a state. */
  | { readonly kind: 'lose-connection'; readonly pick: number }
  | { readonly kind: 'hang-coordinator'; readonly forMs: number }
  /** SIGKILL, and a start from what is on the disk. */
  | { readonly kind: 'kill-coordinator'; readonly backAfterMs: number };

export interface TimedFault {
  readonly afterMs: number;
  readonly fault: Fault;
}

/** What takes 15 s, and took milliseconds before, counts as stuck. */
const SLOWEST_MS = 12_000;

const worker = fc.nat({ max: 7 });
const forMs = fc.integer({ min: 1, max: 6000 });
const slowForMs = fc.integer({ min: 1, max: 60_000 });
const backAfterMs = fc.integer({ min: 0, max: 4000 });

const partition = fc.record({
  kind: fc.constant('partition' as const),
  worker,
  from: fc.constantFrom('coordinator' as const, 'peer' as const, 'all' as const),
  forMs,
});
const cut = fc.record({
  kind: fc.constant('cut' as const),
  worker,
  from: fc.constantFrom('peer' as const, 'peers' as const),
  forMs,
});
const loss = fc.record({
  kind: fc.constant('lose-connection' as const),
  pick: fc.double({ min: 0, max: 0.999, noNaN: true }),
});

const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ kind: fc.constant('kill' as const), worker, backAfterMs }),
  fc.record({ kind: fc.constant('hang' as const), worker, forMs }),
  fc.record({
    kind: fc.constant('slow' as const),
    worker,
    byMs: fc.integer({ min: 1, max: SLOWEST_MS }),
    forMs: slowForMs,
  }),
  fc.record({ kind: fc.constant('stick' as const), worker }),
  fc.record({ kind: fc.constant('join' as const) }),
  fc.record({ kind: fc.constant('drain' as const), worker }),
  partition,
  cut,
  loss,
  fc.record({ kind: fc.constant('hang-coordinator' as const), forMs }),
  fc.record({ kind: fc.constant('kill-coordinator' as const), backAfterMs }),
);

export interface Schedule {
  /** Decides latencies, and which workers have two threads. */
  readonly seed: number;
  readonly workers: number;
  /** Training takes as many workers as it begins with: whoever is missing holds it up. */
  readonly needsAll?: boolean;
  readonly faults: readonly TimedFault[];
}

export const schedules: fc.Arbitrary<Schedule> = fc.record({
  seed: fc.nat(),
  workers: fc.integer({ min: 1, max: 5 }),
  needsAll: fc.boolean(),
  faults: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 150 }), fault }), { maxLength: 6 }),
});

/** Faults of the network alone, that overlap: whatever breaks, no worker is to blame. */
export const networkSchedules: fc.Arbitrary<Schedule> = fc.record({
  seed: fc.nat(),
  workers: fc.integer({ min: 3, max: 5 }),
  needsAll: fc.boolean(),
  faults: fc.array(
    fc.record({ afterMs: fc.integer({ min: 0, max: 1500 }), fault: fc.oneof(partition, cut, cut, loss) }),
    { minLength: 2, maxLength: 8 },
  ),
});

/** When one worker that waits for no others is at work. */
const LONE_SINCE_MS = 1010;

/** Others come to a worker that has begun alone, in the middle of its steps, and some go. */
export const loneSchedules: fc.Arbitrary<Schedule> = fc
  .record({
    seed: fc.nat(),
    firstAfterMs: fc.integer({ min: LONE_SINCE_MS, max: LONE_SINCE_MS + 100 }),
    others: fc.array(
      fc.record({
        afterMs: fc.integer({ min: 0, max: 100 }),
        fault: fc.oneof(
          fc.record({ kind: fc.constant('join' as const) }),
          fc.record({ kind: fc.constant('kill' as const), worker, backAfterMs }),
        ),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ seed, firstAfterMs, others }) => {
    const first = { afterMs: firstAfterMs, fault: { kind: 'join' as const } };
    // The seed decides who has two threads, too: the first.
    return { seed: seed & ~2, workers: 1, faults: [first, ...others] };
  });
