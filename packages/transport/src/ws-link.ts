/** A Link over a WebSocket of the `ws` library. */
import type { Socket } from 'node:net';
import { LIMITS } from '@coord/protocol';
import type { WebSocket } from 'ws';
import { plainAddress } from './address.js';
import { channelBindingOf } from './channel-binding.js';
import { addCheck, removeCheck } from './checked-message.js';
import { Inbox } from './inbox.js';
import { type Link, type LinkClosed, linkClosedError, messageTooLargeError } from './link.js';

/** Status codes of RFC 6455, section 7.4.1. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
const UNSUPPORTED_DATA = 1003;
const INVALID_PAYLOAD = 1007;

/** Longest reason a close frame can carry. */
const REASON_BYTES = 123;
/** How long a peer may take to answer a goodbye. */
const CLOSE_TIMEOUT_MS = 2000;
/** Unread bytes at which the socket stops being read, so that a flood stays in the sender's memory. */
const PAUSE_AT_BYTES = 16 * 1024 * 1024;

export interface WsLinkOptions {
  readonly remote: string;
  readonly maxMessageBytes?: number;
  /** Lifts the limits for strangers. */
  admit?(): void;
  /** Asked when first needed: a client has no socket before it is connected. */
  socket(): Socket | undefined;
}

export class WsLink implements Link {
  readonly remote: string;
  readonly closed: Promise<LinkClosed>;
  private readonly inbox = new Inbox(() => this.resumeIfDrained());
  private readonly maxMessageBytes: number;
  private closeReason: string | undefined;
  private failure: string | undefined;
  private outcome: LinkClosed | undefined;
  private localAddressSeen: string | undefined;
  private resolveClosed!: (closed: LinkClosed) => void;

  /** `socket` may be connecting: no message is missed when it is wrapped in the tick of its birth. */
  constructor(
    private readonly socket: WebSocket,
    private readonly options: WsLinkOptions,
  ) {
    this.remote = options.remote;
    this.maxMessageBytes = options.maxMessageBytes ?? LIMITS.messageBytes;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => this.onMessage(data as Buffer, isBinary));
    socket.on('error', (error) => this.fail(this.describeFailure(error)));
    socket.once('close', (code, reason) => this.finish(code, reason.toString()));
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  get localAddress(): string {
    // A socket forgets its address when it closes.
    const address = this.options.socket()?.localAddress;
    if (address !== undefined) this.localAddressSeen = address;
    return plainAddress(this.localAddressSeen);
  }

  get channelBinding(): string {
    const socket = this.options.socket();
    return socket ? channelBindingOf(socket) : '';
  }

  admit(): void {
    this.options.admit?.();
  }

  send(message: Uint8Array): Promise<void> {
    if (this.outcome || this.closeReason !== undefined) return Promise.reject(this.closedError());
    if (message.byteLength > this.maxMessageBytes) {
      return Promise.reject(messageTooLargeError(this.remote, message.byteLength, this.maxMessageBytes));
    }
    return new Promise((resolve, reject) => {
      this.socket.send(addCheck(message), { binary: true, compress: false }, (error) =>
        error ? reject(this.closedError()) : resolve(),
      );
    });
  }

  receive(): Promise<Uint8Array> {
    return this.inbox.take();
  }

  async close(reason = 'closed by this end'): Promise<void> {
    if (!this.outcome && this.closeReason === undefined) this.sayGoodbye(reason);
    await this.closed;
  }

  private sayGoodbye(reason: string): void {
    this.closeReason = reason;
    this.terminateLater();
    this.socket.close(NORMAL, truncateUtf8(reason, REASON_BYTES));
    // The peer's answer to the goodbye must be read, whatever stands before it.
    if (this.socket.isPaused) this.socket.resume();
  }

  private onMessage(data: Buffer, isBinary: boolean): void {
    if (this.outcome || this.closeReason !== undefined) return;
    if (!isBinary) {
      this.socket.close(UNSUPPORTED_DATA, 'binary messages only');
      this.fail(`${this.remote} sent text; only binary messages are spoken here`);
      return;
    }
    const message = removeCheck(data);
    if (!message) {
      this.socket.close(INVALID_PAYLOAD, 'a message was damaged on its way');
      this.fail(`a message of ${data.byteLength} bytes from ${this.remote} was damaged on its way`);
      return;
    }
    this.inbox.push(message);
    if (this.inbox.sizeBytes > PAUSE_AT_BYTES) this.socket.pause();
  }

  /** The link is over at once; the peer gets a while to read why. */
  private fail(failure: string): void {
    this.failure ??= failure;
    this.terminateLater();
    this.finish(0, '');
  }

  private terminateLater(): void {
    const timer = setTimeout(() => this.socket.terminate(), CLOSE_TIMEOUT_MS);
    this.socket.once('close', () => clearTimeout(timer));
  }

  private resumeIfDrained(): void {
    if (this.socket.isPaused && this.inbox.sizeBytes <= PAUSE_AT_BYTES / 2) this.socket.resume();
  }

  private finish(code: number, reason: string): void {
    if (this.outcome) return;
    const clean = this.failure === undefined && (code === NORMAL || code === GOING_AWAY);
    this.outcome = { clean, reason: this.reasonFor(code, reason) };
    this.inbox.finish(() => this.closedError());
    this.resolveClosed(this.outcome);
  }

  private reasonFor(code: number, reason: string): string {
    if (this.failure !== undefined) return this.failure;
    if (this.closeReason !== undefined) return this.closeReason;
    if (reason !== '') return reason;
    return code === NORMAL ? `${this.remote} closed it` : `the connection was lost (code ${code})`;
  }

  private closedError(): Error {
    const closed = this.outcome ?? { clean: false, reason: this.closeReason ?? this.failure ?? 'it is closing' };
    return linkClosedError(this.remote, closed);
  }

  private describeFailure(error: Error & { code?: string }): string {
    if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') {
      return `${this.remote} sent a message larger than the limit of ${this.maxMessageBytes} bytes`;
    }
    return error.code?.startsWith('WS_ERR')
      ? `${this.remote} broke the WebSocket protocol: ${error.message}`
      : error.message;
  }
}

/** The longest prefix of whole characters within `limitBytes`. */
function truncateUtf8(text: string, limitBytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= limitBytes) return text;
  let end = limitBytes;
  while ((encoded[end] & 0xc0) === 0x80) end--;
  return encoded.toString('utf8', 0, end);
}
