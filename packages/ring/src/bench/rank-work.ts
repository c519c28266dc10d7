/** What one rank of the bench does: float32 in, exact sum, float32 out. */
import { type Arena, arenaBytes, BLOCK_SIZE, createArena, type WireFormat } from '@coord/protocol';
import { quantaFor, roundingFor } from '../exact-sum.js';
import { sumOfFloats } from '../gradient-sum.js';
import { createKernels, type Kernels } from '../kernels.js';
import type { Reduction } from '../reduction.js';
import type { Ring } from '../ring.js';
import { RING_SCRATCH_BYTES } from '../scratch.js';
import { benchSum, benchValue, type Timing } from './contender.js';

const LARGEST_EXPONENT = 127 + 7;

interface Buffers {
  readonly gradients: Float32Array;
  readonly quanta: Uint8Array;
  readonly exponents: Uint8Array;
  /** Where a piece is quantised before it is narrowed to the wire format. */
  readonly room: Int32Array;
}

const ROOM_VALUES = RING_SCRATCH_BYTES / 4;

export const createBenchArena = (maxBytes: number): Arena =>
  createArena(arenaBytes([padded(maxBytes), maxBytes / 64, maxBytes / 64]) + 2 * RING_SCRATCH_BYTES + 1024);

const padded = (bytes: number): number => Math.ceil(bytes / 4 / BLOCK_SIZE) * BLOCK_SIZE * 4;

export class RankWork {
  private readonly buffers: Buffers;
  private readonly kernels: Kernels;
  private misfits = 0;

  constructor(
    private readonly ring: Ring,
    arena: Arena,
    maxBytes: number,
    private readonly wire: WireFormat,
  ) {
    const count = padded(maxBytes) / 4;
    const blocks = count / BLOCK_SIZE;
    this.buffers = {
      gradients: arena.float32(count),
      quanta: arena.uint8(blocks),
      exponents: arena.uint8(blocks),
      room: arena.int32(ROOM_VALUES),
    };
    this.kernels = createKernels(arena.memory);
    quantaFor(new Uint8Array(blocks).fill(LARGEST_EXPONENT), ring.size, this.buffers.quanta, wire, true);
  }

  async time(bytes: number, iterations: number): Promise<Timing> {
    const blocks = padded(bytes) / 4 / BLOCK_SIZE;
    const gradients = this.buffers.gradients.subarray(0, blocks * BLOCK_SIZE);
    const source = this.source(bytes / 4, gradients.length);
    const ms: number[] = [];
    for (let iteration = 0; iteration < iterations; iteration++) {
      gradients.set(source);
      // A barrier, so that nobody's preparation counts as waiting.
      await this.ring.allReduceMax(new Uint8Array(this.ring.size));
      const startMs = performance.now();
      await this.ring.allReduce(this.reduction(gradients, bytes / 4));
      ms.push(performance.now() - startMs);
    }
    return { ms, wrong: this.countWrong(gradients, bytes / 4) + this.misfits };
  }

  async close(): Promise<void> {
    await this.ring.close();
  }

  private reduction(gradients: Float32Array, count: number): Reduction {
    const { buffers, kernels, wire, ring } = this;
    const onMisfit = () => this.misfits++;
    const rounding = roundingFor(wire, { key: [1, 2], step: 0, grain: ring.rank, firstBlock: 0 });
    const shared = { kernels, wire, divisor: 1, grains: ring.size, rounding, onMisfit };
    return sumOfFloats({ ...buffers, ...shared, gradients, out: gradients, count });
  }

  private source(count: number, paddedCount: number): Float32Array {
    const source = new Float32Array(paddedCount);
    for (let index = 0; index < count; index++) source[index] = benchValue(this.ring.rank, index);
    return source;
  }

  private countWrong(gradients: Float32Array, count: number): number {
    const { size } = this.ring;
    const quantum = 2 ** (this.buffers.quanta[0] - 127);
    // The values are multiples of 1/4: a finer quantum keeps them as they are, a coarser one within one quantum a rank.
    const tolerance = quantum <= 0.25 ? 0 : size * quantum;
    let wrong = 0;
    for (let index = 0; index < count; index++) {
      if (!(Math.abs(gradients[index] - benchSum(size, index)) <= tolerance)) wrong++;
    }
    return wrong;
  }
}
