/**
 * The first thing that happens in a view: everybody tells where it stands, and whoever is behind copies the state of a host
 * at the highest step. With grains there is nothing to vote on or to roll back: a step has one possible result.
 */
import { type ArrayDifference, type Clock, CoordError, type RunSpec } from '@coord/protocol';
import type { Ring } from '@coord/ring';
import { decodeRecord, encodeRecord, type HostRecord, NOTHING_HELD, settleHeldGrains } from './grain-book.js';
import type { HostState } from './host-state.js';
import {
  decodeTestimony,
  encodeTestimony,
  judgeReplicas,
  type ReplicaVerdict,
  type Testimony,
} from './replica-verdict.js';
import { copyState } from './state-copy.js';
import { differencesBetween } from './state-differences.js';
import { type PeerContext, stateSource } from './state-link.js';

export interface Agreement {
  readonly type: 'agreed';
  /** Grains of the step in progress that each rank's sums already hold. */
  readonly held: readonly ReadonlySet<number>[];
  readonly evaluatedStep: number;
  readonly stopped: boolean;
  /** Replicas differed; all are alike now. */
  readonly divergence: Divergence | undefined;
}

export interface Divergence {
  readonly step: number;
  /** By rank. */
  readonly testimonies: readonly Testimony[];
  /** Ranks that had another state than the majority, and have copied its. */
  readonly dissenters: readonly number[];
  /** Of the weights that the majority holds. */
  readonly agreedSha256: string;
  /** What this host had otherwise, when it is one of the dissenters. */
  readonly differences: readonly ArrayDifference[];
}

/** Replicas differ, and nobody can say who is right. */
export interface Split {
  readonly type: 'split';
  readonly step: number;
  readonly testimonies: readonly Testimony[];
}

export interface SyncContext extends PeerContext {
  readonly ring: Ring;
  readonly rank: number;
  readonly signal: AbortSignal;
  readonly run: RunSpec;
  /** Brings the state to this step without a copy, where it is kept up to date from elsewhere. */
  readonly reach: (step: number, signal: AbortSignal) => Promise<boolean>;
}

/** @throws CoordError RING_BROKEN, RING_TIMEOUT, VIEW_CHANGED, STATE_UNAVAILABLE. */
export async function synchronise(context: SyncContext, state: HostState, own: HostRecord): Promise<Agreement | Split> {
  const { ring, run, rank } = context;
  const grains = run.batch.grains;
  const gathered = await ring.allGather(encodeRecord(own, grains));
  const records = gathered.map((bytes) => decodeRecord(bytes, grains));
  const step = Math.max(...records.map((record) => record.step));
  const comparison = await compareReplicas(context, state, records);
  const { sources, dissenters } = comparison;
  if (sources.length === 0) return { type: 'split', step, testimonies: comparison.testimonies };
  const copies = records.map((record, at) => record.step < step || dissenters.includes(at));
  const before = dissenters.includes(rank) ? await state.snapshot() : undefined;
  if (copies.includes(true))
    await copyTogether(context, (within) =>
      copies[rank] ? copyFromRanks(within, sources, state, step) : Promise.resolve(),
    );
  return {
    type: 'agreed',
    held: settleHeldGrains(records.map((record, at) => (dissenters.includes(at) ? withoutGrains(record) : record))),
    evaluatedStep: Math.max(...records.map((record) => record.evaluatedStep)),
    stopped: records.some((record) => record.step === step && record.stopped),
    divergence: divergenceOf(step, comparison, before && differencesBetween(before, state)),
  };
}

/** What was computed from a wrong state must not enter a sum. */
const withoutGrains = (record: HostRecord): HostRecord => ({ ...record, held: NOTHING_HELD });

interface Comparison extends ReplicaVerdict {
  /** By rank; empty where all replicas agree. */
  readonly testimonies: readonly Testimony[];
}

/**
 * As a rule the word of each host about its last update is enough, and costs nothing. The states themselves are read where one is about
 * to be copied, or where replicas have just differed: a check number each. Only where these differ everybody hashes all it has, so that the
 * odd one is named.
 */
async function compareReplicas(
  { ring }: SyncContext,
  state: HostState,
  records: readonly HostRecord[],
): Promise<Comparison> {
  const step = Math.max(...records.map((record) => record.step));
  const ahead = [...records.keys()].filter((rank) => records[rank].step === step);
  const alike: Comparison = { sources: ahead, dissenters: [], testimonies: [] };
  const isLevel = ahead.length === records.length && !records.some(({ isDoubted }) => isDoubted);
  const agree = (numbers: readonly number[]) => ahead.every((rank) => numbers[rank] === numbers[ahead[0]]);
  if (agree(records.map(({ updateNumber }) => updateNumber))) {
    if (isLevel || agree(await gatherCheckNumbers(ring, state))) return alike;
  }
  const testimonies = (await ring.allGather(encodeTestimony(state.testimony()))).map(decodeTestimony);
  return { ...judgeReplicas(testimonies), testimonies };
}

/** By rank. Costs one reading of the state. */
async function gatherCheckNumbers(ring: Ring, state: HostState): Promise<number[]> {
  const mine = Buffer.alloc(Uint32Array.BYTES_PER_ELEMENT);
  mine.writeUInt32LE(state.checkNumber());
  return (await ring.allGather(mine)).map((bytes) => Buffer.from(bytes).readUInt32LE());
}

function divergenceOf(
  step: number,
  { sources, dissenters, testimonies }: Comparison,
  differences: readonly ArrayDifference[] = [],
): Divergence | undefined {
  if (dissenters.length === 0) return undefined;
  return { step, testimonies, dissenters, agreedSha256: testimonies[sources[0]].weightsSha256, differences };
}

/** Of the time for which a ring may be silent. */
const NEWS_SHARE = 3;

/**
 * Nobody goes on before the last one has copied: the states that are being read must not move. A copy may take longer than a ring may
 * be silent, so whoever is not done says so now and then. When this settles, nothing is being copied any more.
 */
async function copyTogether(context: SyncContext, copy: (within: SyncContext) => Promise<void>): Promise<void> {
  const { ring, clock, timeoutMs } = context;
  const giveUp = new AbortController();
  let isDone = false;
  const copying = copy({ ...context, signal: AbortSignal.any([context.signal, giveUp.signal]) }).then(() => {
    isDone = true;
  });
  try {
    for (let said: Uint8Array[] = []; said.length === 0 || said.some(([done]) => done === 0); ) {
      await doneOrLater(copying, clock, timeoutMs / NEWS_SHARE);
      said = await ring.allGather(Uint8Array.of(isDone ? 1 : 0));
    }
  } finally {
    giveUp.abort();
    await copying.catch(() => {});
  }
}

/** Resolves when the work is done, or after a while. @throws what the work rejects with. */
function doneOrLater(work: Promise<void>, clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(delayMs, resolve);
    work.then(resolve, reject).finally(cancel);
  });
}

/** Hosts that one laggard copies from. */
const MAX_SOURCES = 4;

async function copyFromRanks(
  context: SyncContext,
  ranks: readonly number[],
  state: HostState,
  step: number,
): Promise<void> {
  if (await context.reach(step, context.signal)) return;
  const sources = ranks.slice(0, MAX_SOURCES).map((rank) => stateSource(context, rank));
  const passed = await copyState(sources, state, step, context);
  if (passed === undefined) return;
  throw new CoordError('STATE_UNAVAILABLE', `a peer is at step ${passed} already, step ${step} was due`);
}
