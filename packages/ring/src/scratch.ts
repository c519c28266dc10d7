/** Scratch: where a ring puts segments that it must combine, one slot for each receive that may be outstanding. */
import type { Arena } from '@coord/protocol';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';

/** Receives outstanding at a time: one being combined, one being filled. More would only spread the scratch over the cache. */
export const RECEIVE_WINDOW = 2;

/** Longest segment where nothing else is asked for. */
export const SEGMENT_BYTES = 512 * 1024;

/** What the rings of an arena take from it, together, with segments of that length. */
export const RING_SCRATCH_BYTES = RECEIVE_WINDOW * SEGMENT_BYTES;

export interface ScratchSlot {
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
}

/** An arena never takes memory back, so the rings of one arena, which follow one another, share their scratch. */
const scratchOfArena = new WeakMap<Arena, Uint8Array>();

export function scratchSlots(segmentBytes: number, arena: Arena | undefined): ScratchSlot[] {
  const slotBytes = Math.ceil(segmentBytes / 64) * 64;
  const bytes = takeBytes(slotBytes * RECEIVE_WINDOW, arena);
  return Array.from({ length: RECEIVE_WINDOW }, (_, slot) => ({
    header: new Uint8Array(SEGMENT_HEADER_BYTES),
    bytes: bytes.subarray(slot * slotBytes, (slot + 1) * slotBytes),
  }));
}

function takeBytes(sizeBytes: number, arena: Arena | undefined): Uint8Array {
  if (!arena) return new Uint8Array(sizeBytes);
  let bytes = scratchOfArena.get(arena);
  if (!bytes || bytes.byteLength < sizeBytes) {
    bytes = arena.uint8(sizeBytes);
    scratchOfArena.set(arena, bytes);
  }
  return bytes;
}
