/** Sending end of a segment link: writes WebSocket frames on a socket that it owns. */
import type { Socket } from 'node:net';
import { beatPayload, CLOSE_CODE, frameHeader, OPCODE } from './frame.js';
import { FrameReader } from './frame-reader.js';
import { type LinkClosed, linkClosedError } from './link.js';
import { type SegmentSender, sizeOfParts } from './segment-link.js';
import { ClosingHandshake } from './ws-close.js';

interface Waiting {
  readonly parts: readonly Uint8Array[];
  resolve(): void;
  reject(error: Error): void;
}

export class WsSegmentSender implements SegmentSender {
  private readonly closing: ClosingHandshake;
  /** Frames that have not left, in order. */
  private readonly waiting: Waiting[] = [];
  /** So many of them, the first ones, are with the socket. */
  private written = 0;
  private readonly reader: FrameReader;
  /** Headers differ only by length, and a ring knows few lengths. */
  private readonly headers = new Map<number, Uint8Array>();

  constructor(
    private readonly socket: Socket,
    private readonly remote: string,
  ) {
    this.closing = new ClosingHandshake(socket, remote, false);
    this.reader = new FrameReader({
      remote,
      from: 'client',
      maxFrameBytes: 0,
      onControl: (opcode, payload) => this.closing.onControl(opcode, payload),
    });
    socket.on('data', (bytes: Buffer) => this.onData(bytes));
    socket.on('end', () => socket.end());
  }

  get closed(): Promise<LinkClosed> {
    return this.closing.closed;
  }

  /**
   * A socket that is full takes all that waits in it as one write, and tells of none of its frames before the last one has left. A ring whose
   * slots all wait in such a write stands still, so the socket gets a frame at a time.
   */
  send(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.closing.outcome) return Promise.reject(this.closedError());
    return new Promise((resolve, reject) => {
      this.waiting.push({ parts, resolve, reject });
      if (this.written === 0) this.writeNext();
    });
  }

  beat(value: number): void {
    if (!this.closing.outcome) this.closing.writeControl(OPCODE.pong, beatPayload(value));
  }

  close(): void {
    // The goodbye goes behind them.
    while (!this.closing.outcome && this.written < this.waiting.length) this.writeNext();
    this.closing.close(CLOSE_CODE.normal, { reason: 'closed by the sender', clean: true });
  }

  private writeNext(): void {
    const { parts } = this.waiting[this.written++];
    const done = (error?: Error | null) => (error ? this.rejectAll() : this.hasLeft());
    // One system call for all of it.
    this.socket.cork();
    this.socket.write(this.headerFor(sizeOfParts(parts)), parts.length === 0 ? done : undefined);
    for (let index = 0; index < parts.length; index++) {
      this.socket.write(parts[index], index === parts.length - 1 ? done : undefined);
    }
    this.socket.uncork();
  }

  private hasLeft(): void {
    this.written--;
    this.waiting.shift()?.resolve();
    if (this.written > 0 || this.waiting.length === 0) return;
    if (this.closing.outcome) this.rejectAll();
    else this.writeNext();
  }

  private rejectAll(): void {
    for (const { reject } of this.waiting.splice(0)) reject(this.closedError());
  }

  private headerFor(sizeBytes: number): Uint8Array {
    let header = this.headers.get(sizeBytes);
    if (!header) {
      header = frameHeader(OPCODE.binary, sizeBytes);
      this.headers.set(sizeBytes, header);
    }
    return header;
  }

  private onData(bytes: Buffer): void {
    const room = this.reader.buffer().byteLength;
    try {
      for (let at = 0; at < bytes.byteLength; at += room) this.reader.feed(bytes.subarray(at, at + room));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.closing.close(CLOSE_CODE.protocolError, { reason, clean: false });
    }
  }

  private closedError(): Error {
    return linkClosedError(this.remote, this.closing.outcome ?? { reason: 'the connection was lost', clean: false });
  }
}
