/** Scratch: the slots in which segments are while the ring works on them. They are made once and used again and again. */
import type { Arena } from '@coord/protocol';
import { slotsNeeded } from './schedule.js';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';

/** Own segments that may be on their way out: one leaving, one being made. */
const SENDING_SLOTS = 2;
/** Beyond what the schedule needs, so that one segment arrives while another is combined. */
const SPARE_SLOTS = 1;

/** Longest segment where nothing else is asked for: short enough that all that is under way, in the kernel too, stays in the cache. */
const SEGMENT_BYTES = 96 * 1024;
const MIN_SEGMENT_BYTES = 4 * 1024;

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
  const share = RING_SCRATCH_BYTES / slotCount(size) - SPARE_BYTES;
  const whole = Math.floor(share / MIN_SEGMENT_BYTES) * MIN_SEGMENT_BYTES;
  return Math.max(MIN_SEGMENT_BYTES, Math.min(SEGMENT_BYTES, whole));
}

/**
 * An arena never takes memory back, so the rings of one arena, which follow one another, share their scratch; the first
 * takes enough for all.
 */
const scratchOfArena = new WeakMap<Arena, Uint8Array>();

/** @param segmentBytes whole blocks. */
export function createScratch(size: number, segmentBytes: number, arena: Arena | undefined): Scratch {
  const slotBytes = Math.ceil(segmentBytes / 64) * 64;
  const count = slotCount(size);
  const strideBytes = slotBytes + SPARE_BYTES;
  const bytes = takeBytes(strideBytes * count, arena);
  const slots = Array.from({ length: count }, (_, slot): ScratchSlot => {
    const own = bytes.subarray(slot * strideBytes, slot * strideBytes + slotBytes);
    return { header: new Uint8Array(SEGMENT_HEADER_BYTES), bytes: own, view: own };
  });
  return { sending: slots.slice(0, SENDING_SLOTS), receiving: slots.slice(SENDING_SLOTS) };
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
