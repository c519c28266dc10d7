/**
 * The first thing that happens in a view: everybody tells where it stands, and whoever is behind copies the state of a host
 * at the highest step. With grains there is nothing to vote on or to roll back: a step has one possible result.
 */
import {
  type ArrayDifference,
  type Clock,
  CoordError,
  decodeMessage,
  encodeMessage,
  type RunSpec,
  stateMessageSchema,
  type View,
} from '@coord/protocol';
import type { Ring } from '@coord/ring';
import type { Link, PeerNetwork } from '@coord/transport';
import { decodeRecord, encodeRecord, type HostRecord, NOTHING_HELD, settleHeldGrains } from './grain-book.js';
import type { HostState } from './host-state.js';
import type { KeyedView, LinkKeys } from './link-keys.js';
import { challengePeer, greetPeer } from './peer-handshake.js';
import {
  decodeTestimony,
  encodeTestimony,
  judgeReplicas,
  type ReplicaVerdict,
  type Testimony,
} from './replica-verdict.js';
import { differencesBetween } from './state-differences.js';
import { StateReceiver, sendState } from './state-transfer.js';

/** Service of the peer network at which a host's state is had. */
const STATE_SERVICE = 'state';

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

export interface SyncContext {
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
  readonly ring: Ring;
  readonly view: View;
  readonly rank: number;
  readonly signal: AbortSignal;
  readonly run: RunSpec;
  readonly clock: Clock;
  readonly timeoutMs: number;
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
  if (copies[rank]) await copyState(context, sources[0], state, step);
  // Nobody goes on before the last one has copied: the states that are being read must not move.
  if (copies.includes(true)) await ring.allGather(Uint8Array.of(1));
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

/** A check number costs one reading of the state. Only where they differ everybody hashes all it has, so that the odd one is named. */
async function compareReplicas(
  { ring }: SyncContext,
  state: HostState,
  records: readonly HostRecord[],
): Promise<Comparison> {
  const step = Math.max(...records.map((record) => record.step));
  const ahead = [...records.keys()].filter((rank) => records[rank].step === step);
  const agree = ahead.every((rank) => records[rank].checkNumber === records[ahead[0]].checkNumber);
  if (agree) return { sources: ahead, dissenters: [], testimonies: [] };
  const testimonies = (await ring.allGather(encodeTestimony(state.testimony()))).map(decodeTestimony);
  return { ...judgeReplicas(testimonies), testimonies };
}

function divergenceOf(
  step: number,
  { sources, dissenters, testimonies }: Comparison,
  differences: readonly ArrayDifference[] = [],
): Divergence | undefined {
  if (dissenters.length === 0) return undefined;
  return { step, testimonies, dissenters, agreedSha256: testimonies[sources[0]].weightsSha256, differences };
}

async function copyState(context: SyncContext, fromRank: number, state: HostState, step: number): Promise<void> {
  const member = context.view.members[fromRank];
  const from = `worker ${member.name} (rank ${fromRank})`;
  const link = await context.network.dialLink(member.endpoint, STATE_SERVICE, {
    timeoutMs: context.timeoutMs,
    signal: context.signal,
  });
  const stop = () => void link.close('the membership has changed');
  context.signal.addEventListener('abort', stop, { once: true });
  try {
    const { view, keys } = context;
    const greeting = greetPeer(link, { service: STATE_SERVICE, view, keys, peerKey: member.linkKey });
    await closeWhenLate(link, context, greeting);
    // Into a copy: should it break off, this host may be the only one left, and must have a state of one step.
    const copy = await state.snapshot();
    const receiver = new StateReceiver(copy, from);
    const sent = await receiveState(link, receiver, from);
    if (sent !== step) {
      throw new CoordError('STATE_UNAVAILABLE', `${from} sent its state of step ${sent}, step ${step} was due`);
    }
    state.replace({ ...copy, step }, receiver.weightsSha256);
  } finally {
    context.signal.removeEventListener('abort', stop);
    await link.close('done');
  }
}

async function receiveState(link: Link, receiver: StateReceiver, from: string): Promise<number> {
  for (;;) {
    const step = receiver.accept(decodeMessage(stateMessageSchema, await link.receive(), { from }));
    if (step !== undefined) return step;
  }
}

export interface StateService {
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
  /** The view in force. */
  readonly view: () => KeyedView | undefined;
  readonly clock: Clock;
  /** Time for a peer to prove itself. */
  readonly timeoutMs: number;
}

/** Lets the members of the current view copy this host's state. */
export function serveState({ network, keys, view, clock, timeoutMs }: StateService, state: HostState): void {
  const serve = async (link: Link): Promise<void> => {
    await closeWhenLate(link, { clock, timeoutMs }, challengePeer(link, { service: STATE_SERVICE, keys, view }));
    await sendState(await state.snapshot(), (message) => link.send(encodeMessage(message)));
  };
  network.onLink(STATE_SERVICE, (link) => {
    serve(link).catch((error) => link.close(error instanceof Error ? error.message : String(error)));
  });
}

interface Patience {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

async function closeWhenLate<T>(link: Link, { clock, timeoutMs }: Patience, handshake: Promise<T>): Promise<T> {
  const cancel = clock.after(timeoutMs, () => void link.close(`no handshake within ${timeoutMs} ms`));
  return handshake.finally(cancel);
}
