/** A pair of Links in memory. It obeys the contract of the real ones: latency, limits, back-pressure, loss. */
import { type Clock, LIMITS, systemClock } from '@coord/protocol';
import { Inbox } from './inbox.js';
import { type Link, type LinkClosed, linkClosedError, messageTooLargeError } from './link.js';
import { MemoryPipe, type MemoryPipeOptions } from './memory-pipe.js';

export interface LinkPairOptions extends MemoryPipeOptions {
  /** Default: LIMITS.messageBytes. */
  readonly maxMessageBytes?: number;
  /**
   * Clocks by which mail reaches the first and the second end, where they differ: a clock that stands still holds mail up, as
   * a stopped process or a cut cable does. Default: `clock` for both.
   */
  readonly clocks?: readonly [Clock, Clock];
  /** What each end calls itself. Default `memory:a` and `memory:b`. */
  readonly names?: readonly [string, string];
}

export interface MemoryLink extends Link {
  /**
   * Loses the connection, with all that is under way, as when a cable is cut. With `clocks` the other end notices when mail
   * could reach it.
   */
  cut(): void;
}

export function createLinkPair(options: LinkPairOptions = {}): [MemoryLink, MemoryLink] {
  const [nameA, nameB] = options.names ?? ['memory:a', 'memory:b'];
  const [toA, toB] = options.clocks ?? [options.clock ?? systemClock, options.clock ?? systemClock];
  const a = new MemoryEnd(nameA, nameB, { ...options, clock: toB });
  const b = new MemoryEnd(nameB, nameA, { ...options, clock: toA });
  a.connect(b);
  b.connect(a);
  return [a, b];
}

class MemoryEnd implements MemoryLink {
  readonly channelBinding = '';
  readonly closed: Promise<LinkClosed>;
  private readonly inbox: Inbox;
  private readonly maxMessageBytes: number;
  private outgoing!: MemoryPipe;
  private peer!: MemoryEnd;
  private closing = false;
  private outcome: LinkClosed | undefined;
  private resolveClosed!: (closed: LinkClosed) => void;
  private unreadBytes = 0;

  constructor(
    readonly localAddress: string,
    readonly remote: string,
    private readonly options: LinkPairOptions,
  ) {
    this.maxMessageBytes = options.maxMessageBytes ?? LIMITS.messageBytes;
    this.inbox = new Inbox(() => this.releaseRead());
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  connect(peer: MemoryEnd): void {
    this.peer = peer;
    this.outgoing = new MemoryPipe((bytes) => peer.arrive(bytes), this.options);
  }

  async send(message: Uint8Array): Promise<void> {
    if (this.closing || this.outcome) throw this.closedError();
    if (message.byteLength > this.maxMessageBytes) {
      throw messageTooLargeError(this.remote, message.byteLength, this.maxMessageBytes);
    }
    await this.outgoing.send(message);
  }

  receive(): Promise<Uint8Array> {
    return this.inbox.take();
  }

  async close(reason = 'closed by the other end'): Promise<void> {
    if (!this.closing && !this.outcome) {
      this.closing = true;
      // Goodbye travels behind everything that was sent.
      this.outgoing.afterLast(() => {
        this.peer.finish({ reason, clean: true });
        this.finish({ reason, clean: true });
      });
    }
    await this.closed;
  }

  cut(): void {
    const lost = { reason: 'the connection was lost', clean: false };
    this.finish(lost);
    if (this.options.clocks) this.outgoing.whenReached(() => this.peer.finish(lost));
    else this.peer.finish(lost);
  }

  private arrive(bytes: Uint8Array): void {
    this.unreadBytes += bytes.byteLength;
    if (!this.closing) this.inbox.push(bytes);
    this.releaseRead();
  }

  /** Gives the sender back the room of whatever is no longer in the inbox. */
  private releaseRead(): void {
    const readBytes = this.unreadBytes - this.inbox.sizeBytes;
    this.unreadBytes = this.inbox.sizeBytes;
    if (readBytes > 0) this.peer.outgoing.release(readBytes);
  }

  private finish(closed: LinkClosed): void {
    if (this.outcome) return;
    this.outcome = closed;
    this.inbox.finish(() => this.closedError());
    this.outgoing.cut(this.closedError());
    this.resolveClosed(closed);
  }

  private closedError(): Error {
    return linkClosedError(this.remote, this.outcome ?? { reason: 'it is closing', clean: true });
  }
}
