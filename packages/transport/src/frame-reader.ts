/**
 * Frame reader: turns a stream of bytes into frames, and puts each data frame's payload where a reader wants it.
 *
 * Bytes are read either *directly* into the reader's buffer (the rest of a data frame whose reader is known) or into the
 * *stash* (headers, control frames, and data that came before its reader). What a direct read brings beyond its frame, into spare
 * room that the reader has there, is moved to the stash: as a rule the head of the next frame. `buffer()` says which, `advance()`
 * tells how much came. The buffer handed out last stays valid until `advance`, so nothing is moved in the stash between the two.
 */
import type { CoordError } from '@coord/protocol';
import {
  type FrameHeader,
  headerBytesOf,
  isControl,
  MAX_CONTROL_BYTES,
  OPCODE,
  parseFrameHeader,
  unmask,
} from './frame.js';
import { messageTooLargeError } from './link.js';
import { type PartsRead, PartsReadQueue } from './parts-read.js';
import { frameInvalidError } from './segment-link.js';

const STASH_READ_BYTES = 16 * 1024;
/** What TLS has decrypted of one read of its own, and delivers although it was told to pause. */
const STASH_BYTES_OF_TLS = 4 * STASH_READ_BYTES;
/** At most one read below the pause mark, one that crosses it, and one buffer handed out while paused. */
const STASH_BYTES = 3 * STASH_READ_BYTES + STASH_BYTES_OF_TLS;

export interface FrameReaderOptions {
  /** Who sends, for errors. */
  readonly remote: string;
  /** A server sends segments, unmasked; a client only control frames, masked. */
  readonly from: 'server' | 'client';
  readonly maxFrameBytes: number;
  onControl(opcode: number, payload: Uint8Array): void;
}

/** What comes before the last part of such a frame: frames that follow each other are mostly of one kind. */
const headBytesOf = (read: PartsRead): number => headerBytesOf(read.sizeBytes) + read.leadBytes;

export class FrameReader {
  readonly reads = new PartsReadQueue();
  private readonly stash = new Uint8Array(STASH_BYTES);
  private start = 0;
  private end = 0;
  private direct = false;
  private frame: FrameHeader | undefined;
  private mask: Uint8Array | undefined;
  /** Payload bytes of `frame` that have not been delivered. */
  private remaining = 0;
  /** Inside a message of several frames. */
  private fragmented = false;

  constructor(private readonly options: FrameReaderOptions) {}

  /** True when no more should be read until somebody wants the data. */
  get isFull(): boolean {
    return this.end - this.start >= STASH_READ_BYTES;
  }

  /** Where the next bytes shall be put; never empty. */
  buffer(): Uint8Array {
    const read = this.reads.first;
    const isInData = this.frame !== undefined && !isControl(this.frame.opcode) && this.remaining > 0;
    this.direct = read !== undefined && this.start === this.end && isInData;
    if (read && this.direct) return read.restAndSpare(this.remaining, headBytesOf(read));
    this.stash.copyWithin(0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
    return this.stash.subarray(this.end, this.end + this.stashReadBytes(read));
  }

  /** Only the head of a long frame that has a reader: what were read of its payload would have to be moved from the stash. */
  private stashReadBytes(read: PartsRead | undefined): number {
    if (!read || this.frame || read.sizeBytes < STASH_READ_BYTES) return STASH_READ_BYTES;
    return Math.min(STASH_READ_BYTES, Math.max(1, headBytesOf(read) - this.end));
  }

  /** @throws CoordError FRAME_INVALID, FRAME_TOO_LARGE: the stream cannot be understood from here on. */
  advance(count: number): void {
    const read = this.reads.first;
    if (read && this.direct) {
      this.advanceDirectly(read, count);
    } else {
      this.end += count;
    }
    this.deliver();
  }

  /** The stash is empty. */
  private advanceDirectly(read: PartsRead, count: number): void {
    const own = Math.min(count, this.remaining);
    read.skip(own);
    this.remaining -= own;
    this.start = 0;
    this.end = count - own;
    if (this.end > 0) this.stash.set(read.spare(this.end));
  }

  /** Takes bytes that were read elsewhere; not more than one stash read. */
  feed(bytes: Uint8Array): void {
    this.buffer().set(bytes);
    this.advance(bytes.byteLength);
  }

  /** Delivers what the stash holds, as far as there are readers. */
  deliver(): void {
    while (this.deliverSome());
  }

  /** @returns false when more bytes or a reader are needed. */
  private deliverSome(): boolean {
    this.frame ??= this.nextFrame();
    if (!this.frame) return false;
    return isControl(this.frame.opcode) ? this.deliverControl(this.frame) : this.deliverData(this.frame);
  }

  private nextFrame(): FrameHeader | undefined {
    const header = parseFrameHeader(this.stash, this.start, this.end);
    if (!header) return undefined;
    this.check(header);
    this.start += header.headerBytes;
    this.mask = header.masked ? this.stash.slice(this.start - 4, this.start) : undefined;
    this.remaining = header.payloadBytes;
    return header;
  }

  private check(header: FrameHeader): void {
    if (header.reserved) throw this.invalid('set a reserved bit of a frame');
    if (header.masked !== (this.options.from === 'client')) throw this.invalid('sent a frame with the wrong masking');
    if (isControl(header.opcode)) {
      if (!header.final || header.payloadBytes > MAX_CONTROL_BYTES)
        throw this.invalid('sent a malformed control frame');
    } else {
      this.checkData(header);
    }
  }

  private checkData({ opcode, payloadBytes }: FrameHeader): void {
    if (this.options.from === 'client') throw this.invalid('sent data against the direction of a one-way link');
    const expected = this.fragmented ? OPCODE.continuation : OPCODE.binary;
    if (opcode !== expected) throw this.invalid(`sent a frame of opcode ${opcode} where ${expected} was due`);
    const { remote, maxFrameBytes } = this.options;
    if (payloadBytes > maxFrameBytes)
      throw messageTooLargeError(`this end from ${remote}`, payloadBytes, maxFrameBytes);
  }

  private deliverControl({ opcode, payloadBytes }: FrameHeader): boolean {
    if (this.end - this.start < payloadBytes) return false;
    const payload = this.stash.slice(this.start, this.start + payloadBytes);
    this.start += payloadBytes;
    this.frame = undefined;
    this.remaining = 0;
    this.options.onControl(opcode, this.mask ? unmask(payload, this.mask) : payload);
    return true;
  }

  private deliverData(frame: FrameHeader): boolean {
    const read = this.reads.first;
    if (!read) return false;
    this.checkLength(frame, read);
    const available = Math.min(this.end - this.start, this.remaining);
    read.copyFrom(this.stash, this.start, available);
    this.start += available;
    this.remaining -= available;
    return this.completed(frame);
  }

  private completed(frame: FrameHeader): boolean {
    if (this.remaining > 0) return false;
    this.frame = undefined;
    this.fragmented = !frame.final;
    if (frame.final) this.reads.completeFirst();
    return true;
  }

  /** The lengths of a message's frames must add up to what its reader expects. */
  private checkLength({ final, payloadBytes }: FrameHeader, read: PartsRead): void {
    const fits = final ? this.remaining === read.missingBytes : this.remaining <= read.missingBytes;
    if (fits) return;
    throw this.invalid(`sent a frame of ${payloadBytes} bytes where ${read.sizeBytes} were expected`, {
      sizeBytes: payloadBytes,
      expectedBytes: read.sizeBytes,
    });
  }

  private invalid(what: string, facts?: Record<string, number>): CoordError {
    return frameInvalidError(this.options.remote, what, facts);
  }
}
