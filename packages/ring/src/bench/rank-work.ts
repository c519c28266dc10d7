/** What one rank of the bench does: float32 in, exact sum, float32 out. */
import { type Arena, arenaBytes, BLOCK_SIZE, createArena } from '@coord/protocol';
import { quantaFor, type WireFormat } from '../exact-sum.js';
import { createKernels, type Kernels } from '../kernels.js';
import type { Ring } from '../ring.js';
import { RING_SCRATCH_BYTES } from '../scratch.js';
import { benchSum, benchValue, type Timing } from './contender.js';

const LARGEST_EXPONENT = 127 + 7;

interface Buffers {
  readonly gradients: Float32Array;
  readonly sums: Int32Array;
  /** What travels in the int16 wire format. */
  readonly shorts: Int16Array;
  readonly quanta: Uint8Array;
  readonly exponents: Uint8Array;
}

export const createBenchArena = (maxBytes: number): Arena =>
  createArena(arenaBytes([padded(maxBytes), padded(maxBytes), maxBytes, maxBytes]) + RING_SCRATCH_BYTES);

const padded = (bytes: number): number => Math.ceil(bytes / 4 / BLOCK_SIZE) * BLOCK_SIZE * 4;

export class RankWork {
  private readonly buffers: Buffers;
  private readonly kernels: Kernels;

  constructor(
    private readonly ring: Ring,
    arena: Arena,
    maxBytes: number,
    private readonly wire: WireFormat,
  ) {
    const count = padded(maxBytes) / 4;
    const blocks = count / BLOCK_SIZE;
    const gradients = arena.float32(count);
    this.buffers = {
      gradients,
      // Quantised in place: half the memory to go through.
      sums: new Int32Array(gradients.buffer, gradients.byteOffset, count),
      shorts: shortsIn(arena, wire === 'int16' ? count : 0),
      quanta: arena.uint8(blocks),
      exponents: arena.uint8(blocks),
    };
    this.kernels = createKernels(arena.memory);
    quantaFor(new Uint8Array(blocks).fill(LARGEST_EXPONENT), ring.size, this.buffers.quanta, 0, wire);
  }

  async time(bytes: number, iterations: number): Promise<Timing> {
    const view = piece(this.buffers, 0, padded(bytes) / 4);
    const source = this.source(bytes / 4, view.gradients.length);
    const ms: number[] = [];
    for (let iteration = 0; iteration < iterations; iteration++) {
      view.gradients.set(source);
      // A barrier, so that nobody's preparation counts as waiting.
      await this.ring.allReduceMax(new Uint8Array(this.ring.size));
      const startMs = performance.now();
      await this.reduce(view, bytes / 4);
      ms.push(performance.now() - startMs);
    }
    return { ms, wrong: this.countWrong(view.gradients, bytes / 4) };
  }

  private async reduce(buffers: Buffers, count: number): Promise<void> {
    const isShort = this.wire === 'int16';
    const own = (isShort ? buffers.shorts : buffers.sums).subarray(0, count);
    await this.ring.allReduceSum(own, own, {
      before: (start, end) => this.quantise(piece(buffers, start, end)),
      after: (start, end) => this.dequantise(piece(buffers, start, end)),
    });
  }

  private quantise({ gradients, sums, shorts, quanta, exponents }: Buffers): void {
    this.kernels.quantiseGrain(gradients, quanta, this.ring.size, sums, exponents, 'store', this.wire);
    if (this.wire === 'int16') this.kernels.narrow(sums, shorts);
  }

  private dequantise({ gradients, sums, shorts, quanta }: Buffers): void {
    if (this.wire === 'int16') this.kernels.widen(shorts, sums);
    this.kernels.dequantise(sums, quanta, 1, gradients);
  }

  private source(count: number, paddedCount: number): Float32Array {
    const source = new Float32Array(paddedCount);
    for (let index = 0; index < count; index++) source[index] = benchValue(this.ring.rank, index);
    return source;
  }

  private countWrong(gradients: Float32Array, count: number): number {
    let wrong = 0;
    for (let index = 0; index < count; index++) if (gradients[index] !== benchSum(this.ring.size, index)) wrong++;
    return wrong;
  }
}

/** The blocks of elements [start, end); the very last is completed by padding. */
function piece({ gradients, sums, shorts, quanta, exponents }: Buffers, start: number, end: number): Buffers {
  const [first, last] = [start / BLOCK_SIZE, Math.ceil(end / BLOCK_SIZE)];
  return {
    gradients: gradients.subarray(first * BLOCK_SIZE, last * BLOCK_SIZE),
    sums: sums.subarray(first * BLOCK_SIZE, last * BLOCK_SIZE),
    shorts: shorts.subarray(first * BLOCK_SIZE, last * BLOCK_SIZE),
    quanta: quanta.subarray(first, last),
    exponents: exponents.subarray(first, last),
  };
}

function shortsIn(arena: Arena, count: number): Int16Array {
  const { buffer, byteOffset } = arena.uint8(count * Int16Array.BYTES_PER_ELEMENT);
  return new Int16Array(buffer, byteOffset, count);
}
