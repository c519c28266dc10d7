/**
 * Segment links: the data plane between neighbours in the ring. One way, one frame a segment, from where the bytes lie to
 * where they belong.
 *
 * The receiver dials and the sender listens, for two reasons: only a dialed socket can be read straight into a given
 * buffer, and frames from server to client are unmasked by the standard.
 */
import { CoordError } from '@coord/protocol';
import { type LinkClosed, linkClosedError } from './link.js';

export interface SegmentSender {
  /**
   * Sends the parts, in order, as one frame. Resolves when all bytes are handed to the operating system; the parts must not
   * change before, and may be reused then.
   *
   * @throws CoordError LINK_CLOSED.
   */
  send(...parts: readonly Uint8Array[]): Promise<void>;
  /**
   * Tells the other end a number, behind the frame that is leaving and before those that wait: a sign of life that needs no reader. It may
   * be lost, and is where the link is closed.
   *
   * @param value whole, from 0 to 2^32 − 2.
   */
  beat(value: number): void;
  /** Says goodbye behind everything sent. */
  close(): void;
  /** Resolves (never rejects) once the link is closed, whoever closed it. */
  readonly closed: Promise<LinkClosed>;
}

export interface SegmentReceiver {
  /**
   * Fills exactly these parts, in order, from the next frame. Several calls may be outstanding; frames that arrive before
   * a call wait without loss. The parts of a rejected call may still be written to until `closed` resolves.
   *
   * @param spareBytes right behind the last part, in its ArrayBuffer, that the link may write to like to the parts: with room there for the
   *   beginning of the next frame, one system call reads both. Default 0.
   * @throws CoordError FRAME_INVALID when the frame has another length or breaks the protocol (the link is then closed),
   *   FRAME_TOO_LARGE, LINK_CLOSED.
   */
  receive(parts: readonly Uint8Array[], spareBytes?: number): Promise<void>;
  /** Calls back with what the sender tells by `beat`, from now on. One callback at a time. */
  onBeat(callback: (value: number) => void): void;
  close(): void;
  /** Resolves (never rejects) once the link is closed, whoever closed it. */
  readonly closed: Promise<LinkClosed>;
}

/** Both ends of a link must agree on who it is for. */
export interface SegmentLinkOptions {
  readonly generation: number;
  /** Rank of the end that dials. */
  readonly rank: number;
  /**
   * Keeps several links between the same ranks apart: lower-case letters, digits and dashes. Default `ring`.
   */
  readonly purpose?: string;
  /** Secret of the view; never sent. */
  readonly key: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export const DEFAULT_PURPOSE = 'ring';

export const sizeOfParts = (parts: readonly Uint8Array[]): number =>
  parts.reduce((sum, part) => sum + part.byteLength, 0);

export function frameInvalidError(remote: string, what: string, facts: Record<string, number> = {}): CoordError {
  return new CoordError('FRAME_INVALID', `${remote} ${what}`, { facts: { remote, ...facts } });
}

/** What a segment link's promises reject with after it was given up through a signal. */
export function givenUpError(what: string, signal: AbortSignal | undefined): Error {
  if (signal?.reason instanceof CoordError) return signal.reason;
  return linkClosedError(what, { reason: 'it was given up', clean: true });
}
