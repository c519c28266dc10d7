/** The buffers that a host's threads share with its ring: one arena, laid out once. */
import { createOptimizer } from '@coord/engine';
import { arenaBytes, createArena, type Layout, type RunSpec } from '@coord/protocol';
import { RING_SCRATCH_BYTES, THREAD_PIECE_VALUES } from '@coord/ring';
import type { ThreadBuffers } from './requests.js';

export type PoolMemory = ReturnType<typeof allocate>;

export function allocate(layout: Layout, run: RunSpec, threadCount: number) {
  const { totalSize, blockCount } = layout;
  const slotNames = createOptimizer(run.optimizer, layout).slotNames;
  const floatBytes = totalSize * 4;
  const roomBytes = THREAD_PIECE_VALUES * 4;
  const isShared = threadCount > 1;
  const arena = createArena(
    arenaBytes([
      floatBytes * (1 + slotNames.length + (isShared ? 1 : 0)),
      blockCount * 2,
      RING_SCRATCH_BYTES,
      ...Array.from({ length: threadCount }, () => floatBytes * 2 + blockCount + roomBytes),
    ]) +
      64 * (8 + threadCount * 5),
  );
  const weights = arena.float32(totalSize);
  const slots = new Map(slotNames.map((name) => [name, arena.float32(totalSize)]));
  const exponents = arena.uint8(blockCount);
  const quanta = arena.uint8(blockCount);
  const grains = Array.from({ length: threadCount }, () => ({
    gradient: arena.float32(totalSize),
    sums: arena.int32(totalSize),
    exponents: arena.uint8(blockCount),
  }));
  const total = isShared ? arena.int32(totalSize) : grains[0].sums;
  // Written when the gradients are in sums, or piece by piece as they are read: what lies in the cache need not be fetched.
  const mean = grains[0].gradient;
  const shared = { weights, slots: [...slots], quanta, total, mean, grains };
  const buffers = grains.map((_, thread): ThreadBuffers => {
    return { ...shared, thread, room: arena.int32(THREAD_PIECE_VALUES) };
  });
  return { arena, weights, slots, exponents, quanta, buffers };
}
