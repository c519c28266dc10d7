/**
 * Receiving end of a segment link: dials, and reads WebSocket frames from the socket straight into the given buffers.
 *
 * Source of the method: the `onread` option of `net.connect` and `tls.connect`, which reuses a buffer that we choose before
 * every read.
 */
import { connect, type Socket } from 'node:net';
import { isCoordError, type SocketEndpoint } from '@coord/protocol';
import { CLOSE_CODE, OPCODE, parseBeat } from './frame.js';
import { FrameReader } from './frame-reader.js';
import { type LinkClosed, linkClosedError } from './link.js';
import type { SegmentReceiver } from './segment-link.js';
import { openTls, secured } from './tls.js';
import { ClosingHandshake } from './ws-close.js';

/** A promise to memory on one side and to the ring's segments on the other. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
const MAX_HEAD_BYTES = 8 * 1024;
const HEAD_END = '\r\n\r\n';

/** A host's port, or the path of a Unix-domain socket. */
export type SegmentTarget = SocketEndpoint | { readonly path: string };

export class WsSegmentReceiver implements SegmentReceiver {
  readonly socket: Socket;
  /** Resolves when something may be written: at once where there is no TLS. */
  readonly secured: Promise<void>;
  /** The answer to the opening handshake; rejects when the connection ends before. */
  readonly head: Promise<string>;
  private readonly closing: ClosingHandshake;
  private readonly reader: FrameReader;
  private failure: Error | undefined;
  private headBytes: Buffer | undefined = Buffer.alloc(0);
  private readonly headBuffer = new Uint8Array(MAX_HEAD_BYTES);
  private heard: (value: number) => void = () => {};
  private settleHead!: { resolve(head: string): void; reject(error: Error): void };

  constructor(
    target: SegmentTarget,
    private readonly remote: string,
  ) {
    this.reader = new FrameReader({
      remote,
      from: 'server',
      maxFrameBytes: MAX_FRAME_BYTES,
      onControl: (opcode, payload) => this.onControl(opcode, payload),
    });
    this.head = new Promise((resolve, reject) => {
      this.settleHead = { resolve, reject };
    });
    // Whoever fails before the answer does not wait for it.
    this.head.catch(() => {});
    const onread = { buffer: () => this.nextBuffer(), callback: (count: number) => this.onBytes(count) };
    if ('host' in target && target.certificateSha256 !== undefined) {
      const { host, port, certificateSha256 } = target;
      const socket = openTls({ host, port, certificateSha256 }, onread);
      this.socket = socket;
      this.secured = secured(socket, { host, port, certificateSha256 });
    } else {
      const place = 'path' in target ? { path: target.path } : { host: target.host, port: target.port };
      this.socket = connect({ ...place, noDelay: true, keepAlive: true, onread });
      this.secured = Promise.resolve();
    }
    this.closing = new ClosingHandshake(this.socket, remote, true);
    this.socket.once('error', (error) => this.settleHead.reject(error));
    this.socket.once('close', () => this.onSocketClosed());
  }

  get closed(): Promise<LinkClosed> {
    return this.closing.closed;
  }

  receive(parts: readonly Uint8Array[], spareBytes?: number): Promise<void> {
    const received = this.reader.reads.add(parts, spareBytes);
    this.guard(() => this.reader.deliver());
    if (this.failure) this.reader.reads.rejectAll(this.failure);
    else if (this.closing.outcome) this.reader.reads.rejectAll(this.closedError());
    else if (this.socket.isPaused() && !this.reader.isFull) this.socket.resume();
    return received;
  }

  onBeat(callback: (value: number) => void): void {
    this.heard = callback;
  }

  close(): void {
    this.closing.close(CLOSE_CODE.normal, { reason: 'closed by the receiver', clean: true });
    this.fail(this.closedError());
  }

  private nextBuffer(): Uint8Array {
    return this.headBytes ? this.headBuffer : this.reader.buffer();
  }

  /** @returns false to stop reading. */
  private onBytes(count: number): boolean {
    // Nobody wants what comes after a failure, but the peer's goodbye stands behind it.
    if (this.failure) return true;
    if (this.headBytes) this.onHeadBytes(count);
    else this.guard(() => this.reader.advance(count));
    if (!this.reader.isFull) return true;
    // `isPaused` is what `receive` looks at; returning false alone would not set it.
    this.socket.pause();
    return false;
  }

  private onHeadBytes(count: number): void {
    const bytes = Buffer.concat([this.headBytes as Buffer, this.headBuffer.subarray(0, count)]);
    const end = bytes.indexOf(HEAD_END);
    if (end >= 0) {
      this.headBytes = undefined;
      this.settleHead.resolve(bytes.toString('latin1', 0, end));
      this.guard(() => this.reader.feed(bytes.subarray(end + HEAD_END.length)));
    } else if (bytes.length > MAX_HEAD_BYTES) {
      this.socket.destroy(new Error(`${this.remote} sent a handshake of more than ${MAX_HEAD_BYTES} bytes`));
    } else {
      this.headBytes = bytes;
    }
  }

  /** Runs a step of the reader; a stream that cannot be understood is closed with the reason. */
  private guard(step: () => void): void {
    if (this.failure) return;
    try {
      step();
    } catch (error) {
      const code = isCoordError(error, 'FRAME_TOO_LARGE') ? CLOSE_CODE.tooLarge : CLOSE_CODE.protocolError;
      const failure = error instanceof Error ? error : new Error(String(error));
      this.closing.close(code, { reason: failure.message, clean: false });
      this.fail(failure);
    }
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.reader.reads.rejectAll(this.failure);
    this.socket.resume();
  }

  private onControl(opcode: number, payload: Uint8Array): void {
    const beat = opcode === OPCODE.pong ? parseBeat(payload) : undefined;
    if (beat !== undefined) this.heard(beat);
    this.closing.onControl(opcode, payload);
    if (this.closing.outcome) this.reader.reads.rejectAll(this.closedError());
  }

  /** What the stash still holds waits for later readers; those who wait now get nothing more. */
  private onSocketClosed(): void {
    this.settleHead.reject(this.closedError());
    this.reader.reads.rejectAll(this.closedError());
  }

  private closedError(): Error {
    return linkClosedError(this.remote, this.closing.outcome ?? { reason: 'the connection was lost', clean: false });
  }
}
