/**
 * The first thing that happens in a view: everybody tells where it stands, and whoever is behind copies the state of a host
 * at the highest step. With grains there is nothing to vote on or to roll back: a step has one possible result.
 */
import {
  type Clock,
  CoordError,
  decodeMessage,
  encodeMessage,
  hashWeights,
  type RunSpec,
  stateMessageSchema,
  type View,
} from '@coord/protocol';
import type { Ring } from '@coord/ring';
import type { Link, PeerNetwork } from '@coord/transport';
import { decodeRecord, encodeRecord, type HostRecord, settleHeldGrains } from './grain-book.js';
import type { HostState } from './host-state.js';
import type { KeyedView, LinkKeys } from './link-keys.js';
import { challengePeer, greetPeer } from './peer-handshake.js';
import { StateReceiver, sendState } from './state-transfer.js';

/** Service of the peer network at which a host's state is had. */
const STATE_SERVICE = 'state';

export interface Agreement {
  /** Grains of the step in progress that each rank's sums already hold. */
  readonly held: readonly ReadonlySet<number>[];
  readonly evaluatedStep: number;
  readonly stopped: boolean;
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
export async function synchronise(context: SyncContext, state: HostState, own: HostRecord): Promise<Agreement> {
  const { ring, run, rank } = context;
  const grains = run.batch.grains;
  const gathered = await ring.allGather(encodeRecord(own, grains));
  const records = gathered.map((bytes) => decodeRecord(bytes, grains));
  const step = Math.max(...records.map((record) => record.step));
  const ahead = records.findIndex((record) => record.step === step);
  if (records[rank].step < step) await copyState(context, ahead, state, step);
  // Nobody goes on before the last one has copied: the states that are being read must not move.
  if (records.some((record) => record.step < step)) await ring.allGather(Uint8Array.of(1));
  return {
    held: settleHeldGrains(records),
    evaluatedStep: Math.max(...records.map((record) => record.evaluatedStep)),
    stopped: records.some((record) => record.step === step && record.stopped),
  };
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
    await state.mutate(async () => {
      state.step = await receiveState(link, new StateReceiver(state, from), from);
      state.weightsSha256 = hashWeights(state.layout, state.weights);
    });
    if (state.step !== step) {
      throw new CoordError('STATE_UNAVAILABLE', `${from} sent its state of step ${state.step}, step ${step} was due`);
    }
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
