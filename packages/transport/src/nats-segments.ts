/**
 * Segment links over NATS, for hosts that can only dial out. Each byte passes the server twice; see the decisions on when
 * that is acceptable.
 *
 * Rendezvous: the sending end listens at a subject that names generation and both ranks; the receiving end asks there, and,
 * where nobody listens yet, waits for the *here* that the sending end says when it comes. Both prove the view's key.
 */
import { CoordError } from '@coord/protocol';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { z } from 'zod';
import type { LinkClosed } from './link.js';
import { linkClosedError } from './link.js';
import { NatsChannel } from './nats-channel.js';
import { isNoResponders, isOfConnection } from './nats-errors.js';
import { PartsInbox } from './parts-inbox.js';
import {
  DEFAULT_PURPOSE,
  givenUpError,
  type SegmentLinkOptions,
  type SegmentReceiver,
  type SegmentSender,
} from './segment-link.js';
import { createDialNonce, isLinkProof, linkProof } from './ws-handshake.js';

/** As for sockets: a promise to memory on one side and to the ring's segments on the other. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** As for sockets: a host whose neighbour hangs must get to the next view. */
const CLOSE_TIMEOUT_MS = 300;

export interface NatsSegmentOptions extends SegmentLinkOptions {
  readonly connection: NatsConnection;
  /** Root of the run's subjects, e.g. `coord.RUN`. */
  readonly prefix: string;
  /** Rank of the sending end; `rank` is that of the receiving end. */
  readonly senderRank: number;
  readonly keepAliveMs?: number;
}

const subjectOf = ({ prefix, generation, senderRank, rank, purpose = DEFAULT_PURPOSE }: NatsSegmentOptions): string =>
  `${prefix}.${purpose}.${generation}.${senderRank}-${rank}`;

/** What the proofs cover. A subject is for one pair of ranks, so the sender's belongs to it. */
const identityOf = (
  { generation, rank, senderRank, purpose = DEFAULT_PURPOSE }: NatsSegmentOptions,
  nonce: string,
) => ({
  channelBinding: '',
  generation,
  rank,
  purpose: `${purpose} from ${senderRank}`,
  nonce,
});

const dialSchema = z.strictObject({ nonce: z.string().min(16).max(64), proof: z.string().min(16).max(128) });
type Dial = z.infer<typeof dialSchema>;

/** A dial is shorter than this. */
const MAX_DIAL_BYTES = 256;

/** @throws CoordError LINK_TIMEOUT, LINK_CLOSED (the server is lost), or the signal's reason. */
export const acceptNatsSegments = (options: NatsSegmentOptions): Promise<SegmentSender> =>
  orLinkClosed(accept(options), `rank ${options.rank}`);

/** @throws CoordError RING_BROKEN (refused), LINK_TIMEOUT, LINK_CLOSED (the server is lost), or the signal's reason. */
export const dialNatsSegments = (options: NatsSegmentOptions): Promise<SegmentReceiver> =>
  orLinkClosed(dial(options), `rank ${options.senderRank}`);

/** With the server a link is lost, no more: callers open another one when it is back. */
async function orLinkClosed<T>(opening: Promise<T>, remote: string): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    if (!isOfConnection(error)) throw error;
    throw linkClosedError(remote, { reason: `the NATS server is lost: ${error.message}`, clean: false });
  }
}

function accept(options: NatsSegmentOptions): Promise<NatsSegmentSender> {
  const { connection, rank } = options;
  const subject = subjectOf(options);
  return meet(options, {
    lateText: `rank ${rank} did not ask for its ring link`,
    remote: `rank ${rank}`,
    open: () => new NatsSegmentSender(options),
    listen: (attempt) =>
      connection.subscribe(subject, {
        callback: (error, message) => {
          if (!error && answerDial(message, options)) attempt.succeed();
        },
      }),
    begin: () => connection.publish(`${subject}.here`),
  });
}

/** @returns whether the dialer knows the key. */
function answerDial(message: Msg, options: NatsSegmentOptions): boolean {
  const question = parseSegmentDial(message.data);
  const { key } = options;
  const identity = identityOf(options, question?.nonce ?? '');
  if (!question || !isLinkProof(question.proof, 'dial', key, identity)) {
    message.respond('refused');
    return false;
  }
  message.respond(linkProof('accept', key, identity));
  return true;
}

/** @returns undefined where this is no dial. */
export function parseSegmentDial(data: Uint8Array): Dial | undefined {
  if (data.byteLength > MAX_DIAL_BYTES) return undefined;
  try {
    return dialSchema.parse(JSON.parse(Buffer.from(data).toString()));
  } catch {
    return undefined;
  }
}

function dial(options: NatsSegmentOptions): Promise<NatsSegmentReceiver> {
  const { connection, senderRank } = options;
  const ask = (attempt: Attempt) =>
    void askForLink(options).then((answered) => answered && attempt.succeed(), attempt.fail);
  return meet(options, {
    lateText: `rank ${senderRank} did not answer the dial of its ring link`,
    remote: `rank ${senderRank}`,
    open: () => new NatsSegmentReceiver(options),
    listen: (attempt) => connection.subscribe(`${subjectOf(options)}.here`, { callback: () => ask(attempt) }),
    begin: ask,
  });
}

/** How one end of a link finds the other. */
interface Meeting<End> {
  readonly lateText: string;
  readonly remote: string;
  open(): End;
  /** Hears of the other end. */
  listen(attempt: Attempt): Subscription;
  /** The server knows now where this end listens. */
  begin(attempt: Attempt): void;
}

/** Ends at once when the connection does; where the link is not made, nothing of it is left. */
async function meet<End extends { readonly channel: NatsChannel }>(
  options: NatsSegmentOptions,
  { lateText, remote, open, listen, begin }: Meeting<End>,
): Promise<End> {
  const attempt = new Attempt(options, lateText);
  let end: End | undefined;
  let subscription: Subscription | undefined;
  try {
    end = open();
    void end.channel.closed.then((closed) => attempt.fail(linkClosedError(remote, closed)));
    subscription = listen(attempt);
    end.channel
      .ready()
      .then(() => begin(attempt))
      .catch(attempt.fail);
    await attempt.done;
    return end;
  } catch (error) {
    end?.channel.lose('it was never used');
    throw error;
  } finally {
    subscription?.unsubscribe();
    attempt.end();
  }
}

/** @returns false when nobody listens yet. */
async function askForLink(options: NatsSegmentOptions): Promise<boolean> {
  const { connection, key, generation, rank, senderRank, timeoutMs } = options;
  const identity = identityOf(options, createDialNonce());
  const question: Dial = { nonce: identity.nonce, proof: linkProof('dial', key, identity) };
  try {
    const answer = await connection.request(subjectOf(options), JSON.stringify(question), { timeout: timeoutMs });
    if (isLinkProof(answer.string(), 'accept', key, identity)) return true;
  } catch (error) {
    if (isNoResponders(error)) return false;
    throw error;
  }
  const what = `rank ${rank} cannot link to rank ${senderRank} in generation ${generation}: it was refused`;
  throw new CoordError('RING_BROKEN', what, { facts: { generation, rank, peer: senderRank } });
}

/** One attempt to make a link: succeeds, fails, is late or is given up; whichever comes first. */
class Attempt {
  readonly done: Promise<void>;
  succeed!: () => void;
  fail!: (error: Error) => void;
  /** Whatever became of it: its timer is gone afterwards. */
  readonly end: () => void;

  constructor(options: SegmentLinkOptions, lateText: string) {
    const { generation, rank, timeoutMs, signal } = options;
    this.done = new Promise<void>((resolve, reject) => {
      this.succeed = resolve;
      this.fail = reject;
    });
    const late = `${lateText} in generation ${generation} within ${timeoutMs} ms`;
    const timeout = () => this.fail(new CoordError('LINK_TIMEOUT', late, { facts: { generation, rank, timeoutMs } }));
    const abort = () => this.fail(givenUpError(`rank ${rank}`, signal));
    // Whoever waits hears of it; where nobody waits yet, another error is on its way.
    this.done.catch(() => {});
    const timer = setTimeout(timeout, timeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    this.end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
  }
}

class NatsSegmentSender implements SegmentSender {
  readonly channel: NatsChannel;

  constructor(options: NatsSegmentOptions) {
    const subject = subjectOf(options);
    this.channel = new NatsChannel({
      ...options,
      remote: `rank ${options.rank}`,
      sendSubject: `${subject}.data`,
      receiveSubject: `${subject}.credit`,
      maxFrameBytes: MAX_FRAME_BYTES,
      closeTimeoutMs: CLOSE_TIMEOUT_MS,
      onFrame: () => this.channel.refuse('it sent data against the direction of a one-way link'),
      onClosed() {},
    });
  }

  get closed(): Promise<LinkClosed> {
    return this.channel.closed;
  }

  send(...parts: readonly Uint8Array[]): Promise<void> {
    return this.channel.outcome ? Promise.reject(this.channel.closedError()) : this.channel.send(parts);
  }

  beat(value: number): void {
    this.channel.beat(value);
  }

  close(): void {
    void this.channel.close('closed by the sender');
  }
}

class NatsSegmentReceiver implements SegmentReceiver {
  readonly channel: NatsChannel;
  private readonly inbox: PartsInbox;
  private heard: (value: number) => void = () => {};

  constructor(options: NatsSegmentOptions) {
    const subject = subjectOf(options);
    const remote = `rank ${options.senderRank}`;
    this.inbox = new PartsInbox({
      remote,
      onRead: (sizeBytes) => this.channel.consumed(sizeBytes),
      onMisfit: (error) => this.channel.refuse(error.message),
    });
    this.channel = new NatsChannel({
      ...options,
      remote,
      sendSubject: `${subject}.credit`,
      receiveSubject: `${subject}.data`,
      maxFrameBytes: MAX_FRAME_BYTES,
      closeTimeoutMs: CLOSE_TIMEOUT_MS,
      onFrame: (frame) => this.inbox.push(frame),
      onBeat: (value) => this.heard(value),
      onClosed: () => this.inbox.finish(() => this.channel.closedError()),
    });
  }

  get closed(): Promise<LinkClosed> {
    return this.channel.closed;
  }

  receive(parts: readonly Uint8Array[]): Promise<void> {
    return this.inbox.receive(parts);
  }

  onBeat(callback: (value: number) => void): void {
    this.heard = callback;
  }

  close(): void {
    this.inbox.fail(linkClosedError('the sender', { reason: 'closed by the receiver', clean: true }));
    void this.channel.close('closed by the receiver');
  }
}
