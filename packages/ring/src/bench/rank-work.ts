/** What one rank of the bench does: float32 in, exact sum, float32 out. */
import { type Arena, arenaBytes, BLOCK_SIZE, createArena } from '@coord/protocol';
import { quantaFor } from '../exact-sum.js';
import { createKernels, type Kernels } from '../kernels.js';
import type { Ring } from '../ring.js';
import { benchSum, benchValue, type Timing } from './contender.js';

/** Room for a ring's scratch. */
const SCRATCH_BYTES = 4 * 1024 * 1024;
const LARGEST_EXPONENT = 127 + 7;

interface Buffers {
  readonly gradients: Float32Array;
  readonly sums: Int32Array;
  readonly quanta: Uint8Array;
  readonly exponents: Uint8Array;
}

export const createBenchArena = (maxBytes: number): Arena =>
  createArena(arenaBytes([padded(maxBytes), padded(maxBytes), maxBytes, maxBytes]) + SCRATCH_BYTES);

const padded = (bytes: number): number => Math.ceil(bytes / 4 / BLOCK_SIZE) * BLOCK_SIZE * 4;

export class RankWork {
  private readonly buffers: Buffers;
  private readonly kernels: Kernels;

  constructor(
    private readonly ring: Ring,
    arena: Arena,
    maxBytes: number,
  ) {
    const count = padded(maxBytes) / 4;
    const blocks = count / BLOCK_SIZE;
    const gradients = arena.float32(count);
    this.buffers = {
      gradients,
      // Quantised in place: half the memory to go through.
      sums: new Int32Array(gradients.buffer, gradients.byteOffset, count),
      quanta: arena.uint8(blocks),
      exponents: arena.uint8(blocks),
    };
    this.kernels = createKernels(arena.memory);
    quantaFor(new Uint8Array(blocks).fill(LARGEST_EXPONENT), ring.size, this.buffers.quanta);
  }

  async time(bytes: number, iterations: number): Promise<Timing> {
    const view = this.view(bytes);
    const ms: number[] = [];
    for (let iteration = 0; iteration < iterations; iteration++) {
      this.fill(view.gradients, bytes / 4);
      // A barrier, so that nobody's preparation counts as waiting.
      await this.ring.allReduceMax(new Uint8Array(this.ring.size));
      const startMs = performance.now();
      await this.reduce(view, bytes / 4);
      ms.push(performance.now() - startMs);
    }
    return { ms, wrong: this.countWrong(view.gradients, bytes / 4) };
  }

  private async reduce({ gradients, sums, quanta, exponents }: Buffers, count: number): Promise<void> {
    const { kernels, ring } = this;
    // The ring's pieces are whole blocks, but for the very last, which the padding completes.
    const blocksOf = (start: number, end: number) => [start / BLOCK_SIZE, Math.ceil(end / BLOCK_SIZE)];
    const valuesOf = <T extends Float32Array | Int32Array>(array: T, [first, last]: number[]) =>
      array.subarray(first * BLOCK_SIZE, last * BLOCK_SIZE) as T;
    const own = sums.subarray(0, count);
    await ring.allReduceSum(own, own, {
      before(start, end) {
        const blocks = blocksOf(start, end);
        const [scales, seen] = [quanta.subarray(...blocks), exponents.subarray(...blocks)];
        kernels.quantiseGrain(valuesOf(gradients, blocks), scales, ring.size, valuesOf(sums, blocks), seen, 'store');
      },
      after(start, end) {
        const blocks = blocksOf(start, end);
        kernels.dequantise(valuesOf(sums, blocks), quanta.subarray(...blocks), 1, valuesOf(gradients, blocks));
      },
    });
  }

  private view(bytes: number): Buffers {
    const count = padded(bytes) / 4;
    const { gradients, sums, quanta, exponents } = this.buffers;
    return {
      gradients: gradients.subarray(0, count),
      sums: sums.subarray(0, count),
      quanta: quanta.subarray(0, count / BLOCK_SIZE),
      exponents: exponents.subarray(0, count / BLOCK_SIZE),
    };
  }

  private fill(gradients: Float32Array, count: number): void {
    for (let index = 0; index < count; index++) gradients[index] = benchValue(this.ring.rank, index);
    gradients.fill(0, count);
  }

  private countWrong(gradients: Float32Array, count: number): number {
    let wrong = 0;
    for (let index = 0; index < count; index++) if (gradients[index] !== benchSum(this.ring.size, index)) wrong++;
    return wrong;
  }
}
