/**
 * NATS channel: an ordered, reliable, framed connection between two ends over two subjects of a NATS server, which itself
 * promises neither: core NATS drops messages for slow readers, limits their size and says nothing when an end is gone. Nor does it
 * say who publishes: whoever may use the server can speak on a channel's subjects.
 *
 * - Every message is sealed with a key of this channel and direction. One that does not open is nobody's: it is dropped, counted,
 *   and changes nothing. One that is missing before another is an error.
 * - Frames are cut into chunks below the server's max_payload.
 * - A *window* limits the bytes under way: the reader returns credit for what it has consumed, so no end is ever slow for
 *   the server. Who sends beyond it is cut off, and so is, long before, who has proved nothing and sends more than a handshake.
 * - Each end says something every `keepAliveMs`; silence for several such intervals means that the connection is lost. The
 *   intervals are those of this end's own timer, so a process that was held up does not accuse the other.
 * - An alive that tells something is a *beat*: an u32.
 */
import { type Clock, systemClock } from '@coord/protocol';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { type LinkClosed, linkClosedError, messageTooLargeError } from './link.js';
import { whenClosed } from './nats-closings.js';
import { isOfConnection } from './nats-errors.js';
import { noteForgery } from './nats-forgeries.js';
import type { ChannelKeys } from './nats-handshake.js';
import { type OpenedMessage, Opener, SEAL_BYTES, Sealer } from './sealed-messages.js';
import { sizeOfParts } from './segment-link.js';

const KIND = { chunk: 0, lastChunk: 1, credit: 2, alive: 3, close: 4 } as const;
const NUMBER_BYTES = 4;
/** Below the usual limit of 1 MB, so that a window holds several. */
const MAX_CHUNK_BYTES = 256 * 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Credit is returned in portions; smaller ones would double the number of messages. */
const CREDIT_BYTES = WINDOW_BYTES / 8;
const KEEP_ALIVE_MS = 1000;
const SILENT_INTERVALS = 5;
const CLOSE_TIMEOUT_MS = 2000;
const NOTHING = new Uint8Array();

export interface NatsChannelOptions {
  readonly connection: NatsConnection;
  /** The other end, as text for people. */
  readonly remote: string;
  readonly sendSubject: string;
  readonly receiveSubject: string;
  readonly maxFrameBytes: number;
  /** Bytes of frames that are taken until `admit`; no limit of its own where it is left out. */
  readonly strangerBytes?: number | undefined;
  readonly keepAliveMs?: number;
  /** How long a goodbye waits for what is to be sent before it. */
  readonly closeTimeoutMs?: number;
  readonly clock?: Clock;
  /** A whole frame has come; `consumed` must be called when it is no longer held. */
  onFrame(frame: Uint8Array): void;
  /** The other end has called `beat`. */
  readonly onBeat?: (value: number) => void;
  onClosed(closed: LinkClosed): void;
}

export class NatsChannel {
  readonly closed: Promise<LinkClosed>;
  /** Resolves at the first word of the other end: it has the keys. */
  readonly heard: Promise<void>;
  outcome: LinkClosed | undefined;
  private readonly subscription: Subscription;
  private readonly forget: () => void;
  private readonly clock: Clock;
  private readonly keepAliveMs: number;
  private readonly chunkBytes: number;
  private resolveClosed!: (closed: LinkClosed) => void;
  private resolveHeard!: () => void;
  private cancelTimer: () => void = () => {};
  private silentIntervals = 0;
  private closing = false;
  private sealer: Sealer | undefined;
  private opener: Opener | undefined;
  private underWayBytes = 0;
  private creditBytes = 0;
  /** Of frames that have come and are not consumed. */
  private heldBytes = 0;
  private strangerBytesLeft: number;
  private partial: Uint8Array[] = [];
  private partialBytes = 0;
  private lastSend: Promise<void> = Promise.resolve();
  private onCredit: (() => void) | undefined;

  constructor(private readonly options: NatsChannelOptions) {
    const { connection, receiveSubject, clock = systemClock, keepAliveMs = KEEP_ALIVE_MS } = options;
    this.clock = clock;
    this.keepAliveMs = keepAliveMs;
    this.strangerBytesLeft = options.strangerBytes ?? Number.POSITIVE_INFINITY;
    const maxPayloadBytes = connection.info?.max_payload ?? MAX_CHUNK_BYTES;
    this.chunkBytes = Math.min(MAX_CHUNK_BYTES, maxPayloadBytes - SEAL_BYTES);
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    this.heard = new Promise((resolve) => {
      this.resolveHeard = resolve;
    });
    this.subscription = connection.subscribe(receiveSubject, {
      callback: (error, message) => (error ? this.lose(error.message) : this.onMessage(message)),
    });
    this.forget = whenClosed(connection, () => this.lose('the connection to the NATS server is closed'));
  }

  /** The keys are agreed on: from now on it speaks, and hears. Called again it does nothing: with the same keys, numbers would repeat. */
  begin({ send, receive }: Pick<ChannelKeys, 'send' | 'receive'>): void {
    if (this.sealer) return;
    this.sealer = new Sealer(send);
    // The other end may cut longer chunks than this server takes from here.
    this.opener = new Opener(receive, MAX_CHUNK_BYTES);
    this.keepAlive();
  }

  /** Resolves when the server knows that this end listens. */
  ready(): Promise<void> {
    return this.options.connection.flush();
  }

  /** The other end has proved itself. */
  admit(): void {
    this.strangerBytesLeft = Number.POSITIVE_INFINITY;
  }

  /** Sends the parts as one frame, after those sent before; resolves when all is handed to the connection. */
  send(parts: readonly Uint8Array[]): Promise<void> {
    const sizeBytes = sizeOfParts(parts);
    const { remote, maxFrameBytes } = this.options;
    if (sizeBytes > maxFrameBytes) return Promise.reject(messageTooLargeError(remote, sizeBytes, maxFrameBytes));
    const sent = this.lastSend.then(() => this.sendChunks(Buffer.concat(parts)));
    this.lastSend = sent.catch(() => {});
    return sent;
  }

  /** So many bytes of frames are no longer held by this end. */
  consumed(sizeBytes: number): void {
    this.heldBytes -= sizeBytes;
    this.creditBytes += sizeBytes;
    if (this.creditBytes < CREDIT_BYTES) return;
    this.publish(KIND.credit, numberBytes(this.creditBytes));
    this.creditBytes = 0;
  }

  /** A sign of life that tells a number. */
  beat(value: number): void {
    if (!this.outcome && !this.closing) this.publish(KIND.alive, numberBytes(value));
  }

  /** Says goodbye behind everything sent. */
  async close(reason: string): Promise<void> {
    this.closing = true;
    await this.sentOrGivenUp();
    if (this.outcome) return;
    this.sayGoodbye(reason);
    this.finish({ reason, clean: true });
  }

  /** Ends without a goodbye. */
  lose(reason: string): void {
    this.finish({ reason: `the connection was lost: ${reason}`, clean: false });
  }

  /** Ends because the peer broke a rule, and tells it. */
  refuse(reason: string): void {
    if (!this.outcome) this.sayGoodbye(`refused: ${reason}`);
    this.finish({ reason, clean: false });
  }

  closedError(): Error {
    return linkClosedError(this.options.remote, this.outcome ?? { reason: 'it is closing', clean: true });
  }

  /** A peer that reads nothing must not keep this end from leaving. */
  private async sentOrGivenUp(): Promise<void> {
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.clock.after(this.options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS, resolve);
    });
    await Promise.race([this.lastSend, late]);
    cancel();
  }

  private async sendChunks(frame: Uint8Array): Promise<void> {
    let at = 0;
    do {
      const chunk = frame.subarray(at, at + this.chunkBytes);
      at += chunk.byteLength;
      await this.roomFor(chunk.byteLength);
      this.underWayBytes += chunk.byteLength;
      this.publish(at < frame.byteLength ? KIND.chunk : KIND.lastChunk, chunk);
    } while (at < frame.byteLength);
  }

  private async roomFor(sizeBytes: number): Promise<void> {
    while (!this.outcome && this.underWayBytes > 0 && this.underWayBytes + sizeBytes > WINDOW_BYTES) {
      await new Promise<void>((resolve) => {
        this.onCredit = resolve;
      });
    }
    if (this.outcome) throw this.closedError();
  }

  /** A reason may be a whole error; what does not go into a message is left away. */
  private sayGoodbye(reason: string): void {
    this.publish(KIND.close, Buffer.from(reason).subarray(0, this.chunkBytes));
  }

  private publish(kind: number, content: Uint8Array = NOTHING): void {
    // An end that has no keys yet has nobody to speak to.
    if (this.sealer) this.hand(this.sealer.seal(kind, content));
  }

  /** A connection that is being closed takes nothing more: with it the channel is lost, whoever was about to speak, a timer too. */
  private hand(message: Uint8Array): void {
    const { connection, sendSubject } = this.options;
    if (connection.isClosed()) return;
    try {
      connection.publish(sendSubject, message);
    } catch (error) {
      if (!isOfConnection(error)) throw error;
      this.lose(error.message);
    }
  }

  private onMessage({ data }: Msg): void {
    if (this.outcome) return;
    // Nobody can have sealed anything for it yet.
    if (!this.opener) return;
    const message = this.opener.open(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    if (!message) {
      noteForgery(this.options.connection, this.options.remote);
      return;
    }
    this.silentIntervals = 0;
    this.resolveHeard();
    if (message.missing > 0) this.refuse(`${message.missing} messages from ${this.options.remote} were lost`);
    else this.obey(message);
  }

  private obey({ kind, content }: OpenedMessage): void {
    if (kind === KIND.chunk || kind === KIND.lastChunk) this.onChunk(content, kind === KIND.lastChunk);
    else if (kind === KIND.credit && content.byteLength === NUMBER_BYTES) this.onCreditReturned(content.readUInt32LE());
    else if (kind === KIND.close) this.onGoodbye(content.toString());
    else if (kind === KIND.alive) this.onAlive(content);
    else this.refuse(`${this.options.remote} sent a message of unknown kind ${kind}`);
  }

  private onAlive(content: Buffer): void {
    if (content.byteLength === NUMBER_BYTES) this.options.onBeat?.(content.readUInt32LE());
  }

  private onChunk(content: Buffer, isLast: boolean): void {
    this.partial.push(content);
    this.partialBytes += content.byteLength;
    this.heldBytes += content.byteLength;
    this.strangerBytesLeft -= content.byteLength;
    const excess = this.excess();
    if (excess !== undefined) {
      this.partial = [];
      this.refuse(`${this.options.remote} sent ${excess}`);
    } else if (isLast) {
      this.completeFrame();
    } else {
      // Or a frame larger than the window could never arrive.
      this.consumed(content.byteLength);
    }
  }

  /** What the other end has sent too much of. */
  private excess(): string | undefined {
    const { maxFrameBytes } = this.options;
    if (this.strangerBytesLeft < 0) return 'more than a handshake before it had proved itself';
    if (this.partialBytes > maxFrameBytes) return `a message larger than the limit of ${maxFrameBytes} bytes`;
    // A frame that is complete counts again in full, though it was credited while it came.
    return this.heldBytes > WINDOW_BYTES + maxFrameBytes ? 'more than the window that it was given' : undefined;
  }

  private completeFrame(): void {
    const last = this.partial[this.partial.length - 1];
    // What came in earlier chunks has been credited.
    this.consumed(-(this.partialBytes - last.byteLength));
    const frame = this.partial.length === 1 ? last : Buffer.concat(this.partial);
    this.partial = [];
    this.partialBytes = 0;
    this.options.onFrame(frame);
  }

  private onCreditReturned(sizeBytes: number): void {
    this.underWayBytes -= sizeBytes;
    if (this.underWayBytes < 0) this.refuse(`${this.options.remote} returned credit for more than it was sent`);
    this.onCredit?.();
  }

  private onGoodbye(reason: string): void {
    this.finish({ reason, clean: !reason.startsWith('refused: ') });
  }

  private keepAlive(): void {
    if (this.silentIntervals++ > SILENT_INTERVALS) {
      this.lose(`it was silent for ${this.silentIntervals * this.keepAliveMs} ms`);
      return;
    }
    this.publish(KIND.alive);
    if (this.outcome) return;
    this.cancelTimer = this.clock.after(this.keepAliveMs, () => this.keepAlive());
  }

  private finish(closed: LinkClosed): void {
    if (this.outcome) return;
    this.outcome = closed;
    this.cancelTimer();
    this.forget();
    this.subscription.unsubscribe();
    this.onCredit?.();
    this.options.onClosed(closed);
    this.resolveClosed(closed);
  }
}

function numberBytes(value: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES);
  bytes.writeUInt32LE(value);
  return bytes;
}
