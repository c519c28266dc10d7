/** Scratch: the slots in which segments are while the ring works on them. They are made once and used again and again. */
import type { Arena } from '@coord/protocol';
import { slotsNeeded } from './schedule.js';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';

/** Own segments that may be on their way out: one leaving, one being made. */
const SENDING_SLOTS = 2;
/** Beyond what the schedule needs: a rank that gets ahead of its neighbours goes on, where ranks share processors. */
const SPARE_SLOTS = 8;

/**
 * Longest segment where nothing else is asked for: short enough that all that is under way, in the kernel too, stays in the cache; and with
 * its headers not longer than what TCP over loopback puts into one packet (65,483 bytes), since what little would follow in a second one costs as
 * much as a whole one.
 */
const SEGMENT_BYTES = 63 * 1024;
/** A block: scratch of the usual size is enough for 1,800 ranks. */
const MIN_SEGMENT_BYTES = 1024;

/** Up to which recursive doubling is quicker than the ring, with 2, 3, 4 and 8 ranks (docs/benchmarks.md); sent as one segment. */
export const DOUBLING_BYTES = 96 * 1024;

/** What the rings of an arena take from it, together, unless they have very many ranks. */
export const RING_SCRATCH_BYTES = 4 * 1024 * 1024;

/** Behind each slot, for the head of the segment that follows the one in it: a link then reads both at once. */
export const SPARE_BYTES = 64;

export interface ScratchSlot {
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
  /** What `slotView` made last. */
  view: Uint8Array;
}

export interface Scratch {
  readonly receiving: readonly ScratchSlot[];
  readonly sending: readonly ScratchSlot[];
}

/** The first `sizeBytes` of a slot. Nearly all segments of an operation are of one length, so views are made anew only at its end. */
export function slotView(slot: ScratchSlot, sizeBytes: number): Uint8Array {
  if (slot.view.byteLength !== sizeBytes) slot.view = slot.bytes.subarray(0, sizeBytes);
  return slot.view;
}

const slotCount = (size: number): number => slotsNeeded(size) + SPARE_SLOTS + SENDING_SLOTS;

/** The more ranks, the more segments are under way: the shorter they must be to share the scratch. */
export function segmentBytesFor(size: number): number {
  const share = (RING_SCRATCH_BYTES - SENDING_SLOTS * DOUBLING_BYTES) / slotCount(size) - SPARE_BYTES;
  const whole = Math.floor(share / MIN_SEGMENT_BYTES) * MIN_SEGMENT_BYTES;
  return Math.max(MIN_SEGMENT_BYTES, Math.min(SEGMENT_BYTES, whole));
}

/**
 * An arena never takes memory back, so the rings of one arena, which follow one another, share their scratch; the first
 * takes enough for all.
 */
const scratchOfArena = new WeakMap<Arena, Uint8Array>();

/**
 * @param segmentBytes whole blocks.
 * @param doublingBytes what recursive doubling exchanges at most; it takes the slots for sending.
 */
export function createScratch(
  size: number,
  segmentBytes: number,
  doublingBytes: number,
  arena: Arena | undefined,
): Scratch {
  const receivingCount = slotCount(size) - SENDING_SLOTS;
  const [receivingBytes, sendingBytes] = [segmentBytes, Math.max(segmentBytes, doublingBytes)].map(roundUp);
  const sendingTotal = SENDING_SLOTS * (sendingBytes + SPARE_BYTES);
  const bytes = takeBytes(sendingTotal + receivingCount * (receivingBytes + SPARE_BYTES), arena);
  return {
    sending: slotsIn(bytes, SENDING_SLOTS, sendingBytes),
    receiving: slotsIn(bytes.subarray(sendingTotal), receivingCount, receivingBytes),
  };
}

const roundUp = (sizeBytes: number): number => Math.ceil(sizeBytes / 64) * 64;

function slotsIn(bytes: Uint8Array, count: number, slotBytes: number): ScratchSlot[] {
  return Array.from({ length: count }, (_, slot) => {
    const start = slot * (slotBytes + SPARE_BYTES);
    const own = bytes.subarray(start, start + slotBytes);
    return { header: new Uint8Array(SEGMENT_HEADER_BYTES), bytes: own, view: own };
  });
}

function takeBytes(sizeBytes: number, arena: Arena | undefined): Uint8Array {
  if (!arena) return new Uint8Array(sizeBytes);
  let bytes = scratchOfArena.get(arena);
  if (!bytes || bytes.byteLength < sizeBytes) {
    bytes = arena.uint8(Math.max(sizeBytes, RING_SCRATCH_BYTES));
    scratchOfArena.set(arena, bytes);
  }
  return bytes;
}
