/**
 * Metrics travel as integers, like gradients, so that their sums do not depend on order either: loss, right answers and
 * samples of a grain or evaluation batch, and behind them the run's tally (tally.ts).
 */
import { addExact, COUNT, type ExactFormat, REAL, readExact } from './exact-number.js';
import type { TallyPart } from './tally.js';

/** Sums over samples; what people read is derived from them, see `metricValues`. */
export interface MetricSums {
  /** Sum of the per-sample losses, weights included. */
  readonly loss: number;
  /** Number of samples whose output says what the target says; 0 where that has no meaning. */
  readonly correct: number;
  readonly samples: number;
  /** Values of the tally's parts, one after the other; left out where nothing further is measured. */
  readonly tally?: readonly number[];
}

const SUMS = ['loss', 'correct', 'samples'] as const satisfies readonly (keyof MetricSums)[];

const formatOf = ({ unit }: TallyPart): ExactFormat => (unit === 'count' ? COUNT : REAL);

/** Words that the metrics take in a reduction. */
export const metricWords = (parts: readonly TallyPart[]): number =>
  parts.reduce((words, part) => words + part.size * formatOf(part).limbs, SUMS.length * REAL.limbs);

/** Adds one grain's metrics to `words` (`metricWords(parts)` long). */
export function addMetrics(metrics: MetricSums, words: Int32Array, parts: readonly TallyPart[] = []): void {
  SUMS.forEach((name, index) => {
    addExact(REAL, metrics[name], words, index * REAL.limbs);
  });
  eachTallied(parts, (format, at, index) => {
    addExact(format, metrics.tally?.[index] ?? 0, words, at);
  });
}

export function readMetrics(words: Int32Array, parts: readonly TallyPart[] = []): MetricSums {
  const [loss, correct, samples] = SUMS.map((_, index) => readExact(REAL, words, index * REAL.limbs));
  if (parts.length === 0) return { loss, correct, samples };
  const tally: number[] = [];
  eachTallied(parts, (format, at) => {
    tally.push(readExact(format, words, at));
  });
  return { loss, correct, samples, tally };
}

/** Visits every value of the tally with its format, its first word and its number. */
function eachTallied(
  parts: readonly TallyPart[],
  visit: (format: ExactFormat, at: number, index: number) => void,
): void {
  let at = SUMS.length * REAL.limbs;
  let index = 0;
  for (const part of parts) {
    const format = formatOf(part);
    for (let value = 0; value < part.size; value++, at += format.limbs) visit(format, at, index++);
  }
}
