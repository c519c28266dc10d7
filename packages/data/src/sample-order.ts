/**
 * The order in which an epoch consumes samples: a pseudo-random permutation that can be asked at any position, without a
 * table, so that nobody has to hold or send it.
 *
 * Source: J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002: a generalised Feistel network on
 * Z_a × Z_b with a · b just above the number of samples, and cycle walking for what falls outside. The round function is
 * Philox4x32-10 (protocol/random.ts), keyed by the seed; epoch and round stand in its counter.
 */
import { philox, streamKey } from '@coord/protocol';

/** Halves of few values mix slowly; at 8 rounds the permutations of even 4 samples are uniform to within measurement. */
const ROUNDS = 8;
const WORD = 2 ** 32;

export interface SampleOrder {
  readonly samples: number;
  /**
   * Which sample stands at a position of the epoch.
   * @throws RangeError when the position is not an integer in [0, samples).
   */
  at(position: number): number;
}

/** A permutation of [0, samples), a pure function of (seed, epoch, samples). */
export function sampleOrder(seed: number, epoch: number, samples: number): SampleOrder {
  const permute = feistel(seed, epoch, samples);
  return {
    samples,
    at(position) {
      if (!Number.isInteger(position) || position < 0 || position >= samples) {
        throw new RangeError(`position ${position} is not in an epoch of ${samples} samples`);
      }
      let value = permute(position);
      while (value >= samples) value = permute(value);
      return value;
    },
  };
}

function feistel(seed: number, epoch: number, samples: number): (value: number) => number {
  const key = streamKey(seed, 'sampleOrder');
  const counter: [number, number, number, number] = [0, 0, epoch % WORD, Math.floor(epoch / WORD)];
  const random = new Uint32Array(4);
  const columns = Math.ceil(Math.sqrt(samples));
  const rows = Math.ceil(samples / columns);
  /** Uniform in [0, range), a function of the other half and the round. */
  const draw = (half: number, round: number, range: number): number => {
    counter[0] = half;
    counter[1] = round;
    philox(key, counter, random);
    return Math.floor((random[0] / WORD) * range);
  };
  return (value) => {
    let row = Math.floor(value / columns);
    let column = value - row * columns;
    for (let round = 0; round < ROUNDS; round += 2) {
      column = (column + draw(row, round, columns)) % columns;
      row = (row + draw(column, round + 1, rows)) % rows;
    }
    return row * columns + column;
  };
}
