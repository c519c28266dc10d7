/**
 * What the hosts of a view tell each other about one step: first the maxima (exponents and flags: small, and whoever is
 * early waits here), then the sums (gradients and metrics).
 */
import { type Layout, type MetricSums, parameterOfBlock } from '@coord/protocol';
import type { Ring } from '@coord/ring';
import type { Compute, GrainOutcome } from './compute/compute-pool.js';
import { isUnanimous, SPREAD_BYTES, spreadDigest } from './replica-digest.js';
import type { SumAhead } from './sum-ahead.js';

const NOT_FINITE = 255;
const FLAG_OVERFLOW = 0;
const FLAG_STOP = 1;
const FLAG_OVERLAP = 2;
const FLAG_COUNT = 3;

/** What one host brings beside its exponents. */
export interface StepNotice {
  readonly outcomes: ReadonlyMap<number, GrainOutcome>;
  /** This host would have all hosts stop, or overlap reducing and computing from the next step on. */
  readonly stop: boolean;
  readonly overlap: boolean;
  /** Of the state that the grains were computed from. */
  readonly digest: Uint8Array;
}

export interface StepMaxima {
  /** All hosts have computed from the same state. */
  readonly agreed: boolean;
  readonly exponents: Uint8Array;
  readonly overflow: boolean;
  /** Somebody would. */
  readonly stop: boolean;
  readonly overlap: boolean;
  /** First parameter and grain with an infinite or NaN gradient. */
  readonly nonFinite: { readonly parameter: string; readonly grain: number } | undefined;
}

/** Layout of the bytes that are reduced by max: exponents, flags, digest, one byte a grain that is set where it is not finite. */
export class MaximaExchange {
  readonly #bytes: Uint8Array;
  readonly #exponents: Uint8Array;
  readonly #flags: Uint8Array;
  readonly #digest: Uint8Array;
  readonly #grains: Uint8Array;

  constructor(
    private readonly layout: Layout,
    grains: number,
  ) {
    const { blockCount } = layout;
    this.#bytes = new Uint8Array(blockCount + FLAG_COUNT + SPREAD_BYTES + grains);
    this.#exponents = this.#bytes.subarray(0, blockCount);
    this.#flags = this.#bytes.subarray(blockCount, blockCount + FLAG_COUNT);
    this.#digest = this.#bytes.subarray(blockCount + FLAG_COUNT, blockCount + FLAG_COUNT + SPREAD_BYTES);
    this.#grains = this.#bytes.subarray(blockCount + FLAG_COUNT + SPREAD_BYTES);
  }

  async reduce(ring: Ring, compute: Compute, { outcomes, stop, overlap, digest }: StepNotice): Promise<StepMaxima> {
    this.#bytes.fill(0);
    compute.collectExponents(this.#exponents);
    for (const [grain, outcome] of outcomes) {
      if (outcome.overflow) this.#flags[FLAG_OVERFLOW] = 1;
      if (outcome.nonFinite) this.#grains[grain] = 1;
    }
    this.#flags[FLAG_STOP] = stop ? 1 : 0;
    this.#flags[FLAG_OVERLAP] = overlap ? 1 : 0;
    spreadDigest(digest, this.#digest);
    await ring.allReduceMax(this.#bytes);
    return {
      agreed: isUnanimous(this.#digest),
      exponents: this.#exponents,
      overflow: this.#flags[FLAG_OVERFLOW] === 1,
      stop: this.#flags[FLAG_STOP] === 1,
      overlap: this.#flags[FLAG_OVERLAP] === 1,
      nonFinite: this.#firstNonFinite(),
    };
  }

  #firstNonFinite(): StepMaxima['nonFinite'] {
    const block = this.#exponents.indexOf(NOT_FINITE);
    if (block < 0) return undefined;
    return { parameter: parameterOfBlock(this.layout, block).name, grain: this.#grains.indexOf(1) };
  }
}

/**
 * Averages gradients over the samples of all hosts, and sums their metrics; the mean gradient stays in `compute`.
 *
 * @param ahead has averaged the gradients already.
 */
export async function reduceSums(
  ring: Ring,
  compute: Compute,
  outcomes: ReadonlyMap<number, GrainOutcome>,
  samples: number,
  ahead: SumAhead | undefined,
): Promise<MetricSums> {
  const words = compute.collectMetrics([...outcomes.values()].map((outcome) => outcome.metrics));
  const mean = ahead ? undefined : average(ring, compute, samples);
  await Promise.all([mean, ring.allReduceSum(words)]);
  return compute.metricsOf(words);
}

async function average(ring: Ring, compute: Compute, samples: number): Promise<void> {
  if (ring.size === 1 && compute.size > 1) await compute.average(samples);
  else await ring.allReduce(await compute.collect(samples));
}
