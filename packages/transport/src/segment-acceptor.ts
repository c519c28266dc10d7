/**
 * Segment acceptor: brings together dials that arrive on a server and the calls that wait for them, in whichever order
 * they come.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CoordError } from '@coord/protocol';
import { plainAddress, remoteOf } from './address.js';
import { channelBindingOf } from './channel-binding.js';
import { longestOfBusiest } from './giving-way.js';
import { linkClosedError } from './link.js';
import { DEFAULT_PURPOSE, givenUpError, type SegmentLinkOptions, type SegmentSender } from './segment-link.js';
import { refuseUpgrade } from './upgrade-router.js';
import { type DialRequest, isLinkProof, parseDialRequest, writeAcceptResponse } from './ws-handshake.js';
import { WsSegmentSender } from './ws-segment-sender.js';

/** Dials that nobody waits for yet; for more of them others are turned away. */
const MAX_HELD_DIALS = 64;
/** Of one link: without the key nobody can tell which of them is the right one. */
const MAX_HELD_DIALS_OF_LINK = 4;
/** Proofs that one generation takes; a peer that dials more often than that is broken. */
const MAX_SPENT_NONCES = 65_536;

interface Held {
  readonly dial: DialRequest;
  readonly socket: Socket;
  release(): void;
}

interface Waiting {
  readonly options: SegmentLinkOptions;
  resolve(sender: SegmentSender): void;
  reject(error: Error): void;
}

const linkName = ({
  generation,
  rank,
  purpose = DEFAULT_PURPOSE,
}: Pick<SegmentLinkOptions, 'generation' | 'rank' | 'purpose'>) => `${generation}/${rank}/${purpose}`;

export class SegmentAcceptor {
  private readonly held = new Set<Held>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly open = new Set<Socket>();
  private newestGeneration = 0;
  /** Nonces of the dials that were taken in the newest generation: a recorded dial does not work twice. */
  private readonly spent = new Set<string>();
  private isClosed = false;

  constructor(
    /** How long a dial is kept that nobody waits for. */
    private readonly holdMs: number,
    /** The owner of this socket has proved itself. */
    private readonly admit: (socket: Socket) => void = () => {},
  ) {}

  handleUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const dial = parseDialRequest(request);
    const socket = stream as Socket;
    if (!dial || head.byteLength > 0) {
      refuseUpgrade(socket, 400, 'this is no dial of a ring link');
      return;
    }
    if (dial.generation < this.newestGeneration) {
      refuseUpgrade(socket, 409, `generation ${dial.generation} is over; it is ${this.newestGeneration} here`);
      return;
    }
    const waiting = this.waiting.get(linkName(dial));
    if (waiting) this.complete(waiting, dial, socket);
    else this.hold(dial, socket);
  }

  /** @throws CoordError LINK_TIMEOUT, LINK_CLOSED, or the signal's reason. */
  accept(options: SegmentLinkOptions): Promise<SegmentSender> {
    if (this.isClosed) return Promise.reject(this.closedError());
    if (options.signal?.aborted) return Promise.reject(givenUpError(`rank ${options.rank}`, options.signal));
    this.enter(options.generation);
    return new Promise((resolve, reject) => {
      const waiting = this.wait(options, resolve, reject);
      for (const held of this.heldFor(options)) {
        held.release();
        if (this.complete(waiting, held.dial, held.socket)) break;
      }
    });
  }

  close(): void {
    this.isClosed = true;
    for (const { reject } of [...this.waiting.values()]) reject(this.closedError());
    for (const held of [...this.held]) this.turnAway(held, 503, 'this host is leaving');
    for (const socket of this.open) socket.destroy();
  }

  /** Dials of older generations are refused from now on. */
  private enter(generation: number): void {
    if (generation <= this.newestGeneration) return;
    this.newestGeneration = generation;
    this.spent.clear();
    for (const held of [...this.held]) {
      if (held.dial.generation < this.newestGeneration) this.turnAway(held, 409, 'this generation is over');
    }
  }

  private wait(options: SegmentLinkOptions, resolve: Waiting['resolve'], reject: Waiting['reject']): Waiting {
    const name = linkName(options);
    const settle = () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
      if (this.waiting.get(name) === waiting) this.waiting.delete(name);
    };
    const fail = (error: Error) => {
      settle();
      reject(error);
    };
    const abort = () => fail(givenUpError(`rank ${options.rank}`, options.signal));
    const timer = setTimeout(() => fail(timeoutError(options)), options.timeoutMs);
    options.signal?.addEventListener('abort', abort, { once: true });
    const waiting: Waiting = {
      options,
      reject: fail,
      resolve: (sender) => {
        settle();
        resolve(sender);
      },
    };
    this.waiting.set(name, waiting);
    return waiting;
  }

  private heldFor(link: Parameters<typeof linkName>[0]): Held[] {
    return [...this.held].filter(({ dial }) => linkName(dial) === linkName(link));
  }

  /** @returns false when the dialer was refused, and the right one is still waited for. */
  private complete({ options, resolve }: Waiting, dial: DialRequest, socket: Socket): boolean {
    const identity = { ...dial, channelBinding: channelBindingOf(socket) };
    if (!isLinkProof(dial.proof, 'dial', options.key, identity)) {
      refuseUpgrade(socket, 403, 'the proof is wrong for this generation and rank');
      return false;
    }
    if (this.spent.has(dial.nonce) || this.spent.size >= MAX_SPENT_NONCES) {
      refuseUpgrade(socket, 403, 'this dial has been here before');
      return false;
    }
    this.spent.add(dial.nonce);
    this.admit(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    socket.setTimeout(0);
    this.open.add(socket);
    socket.once('close', () => this.open.delete(socket));
    const sender = new WsSegmentSender(socket, `rank ${dial.rank} at ${remoteOf(socket)}`);
    socket.write(writeAcceptResponse(options.key, identity));
    resolve(sender);
    return true;
  }

  private hold(dial: DialRequest, socket: Socket): void {
    if (this.isClosed) {
      refuseUpgrade(socket, 503, 'this host is leaving');
      return;
    }
    this.makeRoom(dial);
    const timer = setTimeout(() => this.turnAway(held, 408, 'nobody here waits for this link'), this.holdMs);
    // A dialer speaks only after the answer; and its hanging up shows only when somebody reads.
    const drop = () => {
      held.release();
      socket.destroy();
    };
    const events = ['data', 'end', 'error', 'close'] as const;
    for (const event of events) socket.on(event, drop);
    const held: Held = {
      dial,
      socket,
      release: () => {
        clearTimeout(timer);
        for (const event of events) socket.off(event, drop);
        this.held.delete(held);
      },
    };
    this.held.add(held);
  }

  /** A peer's dial is one of few from its address; whoever has no key may send any number, and must not keep it out. */
  private makeRoom(dial: DialRequest): void {
    const rivals = this.heldFor(dial);
    const crowd = rivals.length >= MAX_HELD_DIALS_OF_LINK ? rivals : this.held.size >= MAX_HELD_DIALS ? this.held : [];
    const loser = longestOfBusiest(crowd, ({ socket }) => plainAddress(socket.remoteAddress));
    if (loser) this.turnAway(loser, 503, 'too many dials are waiting');
  }

  private turnAway(held: Held, status: number, reason: string): void {
    held.release();
    refuseUpgrade(held.socket, status, reason);
  }

  private closedError(): CoordError {
    return linkClosedError('the ring listener', { reason: 'this host is leaving', clean: true });
  }
}

function timeoutError({ generation, rank, timeoutMs, purpose = DEFAULT_PURPOSE }: SegmentLinkOptions): CoordError {
  return new CoordError(
    'LINK_TIMEOUT',
    `rank ${rank} did not dial its ${purpose} link of generation ${generation} within ${timeoutMs} ms`,
    { facts: { generation, rank, timeoutMs } },
  );
}
