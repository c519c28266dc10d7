import { arenaBytes, createArena } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { createScratch, DOUBLING_BYTES, RING_SCRATCH_BYTES, segmentBytesFor } from '../src/scratch.js';

describe('scratch of a ring', () => {
  it.each([2, 4, 20, 100, 500, 1000, 1800])('of %i ranks has room in what an arena keeps for it', (size) => {
    const arena = createArena(arenaBytes([RING_SCRATCH_BYTES]));
    const segmentBytes = segmentBytesFor(size);
    const { receiving } = createScratch(size, segmentBytes, DOUBLING_BYTES, arena);
    // Segments consist of whole blocks, 256 values of four bytes.
    expect(segmentBytes % 1024).toBe(0);
    expect(segmentBytes).toBeGreaterThan(0);
    for (const { bytes } of receiving) expect(bytes.byteLength).toBeGreaterThanOrEqual(segmentBytes);
  });
});
