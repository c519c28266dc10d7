/**
 * Segment header: says which piece of which operation a frame carries. Both ends know what comes next, so a header that
 * differs from the expected one means that ranks disagree, and is an error rather than a wrong sum; and so is a checksum
 * that is not that of the bytes.
 *
 * Layout, little-endian: u32 sequence · u8 operation · u24 step · u32 segment · u32 bytes of the whole buffer (low 32
 * bits) · u32 checksum of the segment's bytes.
 */
import type { Segment } from './schedule.js';

export const SEGMENT_HEADER_BYTES = 20;
const CHECKSUM_AT = 16;

const OPERATION = { sum: 1, max: 2, gather: 3, sum16: 4, sum8: 5 } as const;
export type OperationName = keyof typeof OPERATION;

export interface OperationTag {
  /** Number of the operation on this ring, from 0. */
  readonly sequence: number;
  readonly name: OperationName;
  readonly totalBytes: number;
}

export function writeSegmentHeader(header: Uint8Array, tag: OperationTag, { step, index }: Segment): void {
  writeWord(header, 0, tag.sequence);
  writeWord(header, 4, (OPERATION[tag.name] | (step << 8)) >>> 0);
  writeWord(header, 8, index);
  writeWord(header, 12, tag.totalBytes);
}

export const writeChecksum = (header: Uint8Array, checksum: number): void => writeWord(header, CHECKSUM_AT, checksum);

/** Signed, as `checksum` returns it. */
export const readChecksum = (header: Uint8Array): number => readWord(header, CHECKSUM_AT) | 0;

function writeWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

const readWord = (bytes: Uint8Array, at: number): number =>
  (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;

/** Whether they announce the same piece, whatever its bytes. */
export function isSameHeader(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < CHECKSUM_AT; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** A header in words, for an error. */
export function describeHeader(header: Uint8Array): string {
  const kind = readWord(header, 4);
  const name = Object.entries(OPERATION).find(([, code]) => code === (kind & 0xff))?.[0] ?? `operation ${kind & 0xff}`;
  const words = [readWord(header, 0), kind >>> 8, readWord(header, 8), readWord(header, 12)];
  return `${name} ${words[0]}, step ${words[1]}, segment ${words[2]}, of ${words[3]} bytes`;
}
