/** What people read: metrics from their sums. Pure, so that whoever has the sums has the values. */
import type { MetricOf, MetricSpec } from './metric-spec.js';
import type { MetricSums } from './metrics.js';
import { type Purpose, type TallyPart, tallyParts } from './tally.js';

export interface MetricValues {
  /** Mean over samples, weights included. */
  readonly loss: number;
  /** Share of samples whose output says what the target says; null where the run does not measure it. */
  readonly accuracy: number | null;
  readonly samples: number;
  /** The run's other metrics by their keys; a confusion matrix is a list of rows, one a target. */
  readonly metrics: Readonly<Record<string, MetricValue>>;
}
/** null where there was nothing to measure, as the AUC of samples of one class. */
export type MetricValue = number | null | readonly (readonly number[])[];

export const isMatrix = (value: MetricValue): value is readonly (readonly number[])[] =>
  typeof value === 'object' && value !== null;

/** A metric that was not tallied for this purpose has no value. */
export function metricValues(metrics: readonly MetricSpec[], sums: MetricSums, purpose: Purpose): MetricValues {
  const samples = Math.max(1, sums.samples);
  const parts = tallyParts(metrics, purpose);
  const values: Record<string, MetricValue> = {};
  for (const metric of metrics) {
    const value = measured(metric, new Tally(parts, sums.tally ?? [], metric.output), samples * metric.places);
    if (value !== undefined) values[metric.key] = value;
  }
  const isShown = metrics.some((metric) => metric.name === 'accuracy' && metric.ofAll);
  return {
    loss: sums.loss / samples,
    accuracy: isShown ? sums.correct / samples : null,
    samples: sums.samples,
    metrics: values,
  };
}

/** One output's parts of a tally. */
class Tally {
  constructor(
    private readonly parts: readonly TallyPart[],
    private readonly values: readonly number[],
    private readonly output: number,
  ) {}

  /** Numbers of a part; undefined where it was not tallied. */
  of(name: TallyPart['statistic']['name'], k?: number): readonly number[] | undefined {
    let at = 0;
    for (const { statistic, of, size } of this.parts) {
      const isWanted = statistic.name === name && of.output === this.output;
      if (isWanted && (statistic.name !== 'topHits' || statistic.k === k)) return this.values.slice(at, at + size);
      at += size;
    }
    return undefined;
  }
}

/** @param places over all samples. */
function measured(metric: MetricSpec, tally: Tally, places: number): MetricValue | undefined {
  switch (metric.name) {
    case 'accuracy':
      return metric.ofAll ? undefined : share(tally.of('hits'), places);
    case 'topK':
      return share(tally.of('topHits', metric.k), places);
    case 'precision':
    case 'recall':
    case 'f1':
      return ofClassCounts(metric, tally.of('classCounts'));
    case 'confusionMatrix':
      return rowsOf(tally.of('confusion'));
    case 'auc':
      return aucOf(metric, tally.of('histograms'));
    case 'perplexity': {
      const surprise = share(tally.of('surprise'), places);
      return surprise === undefined ? undefined : Math.exp(surprise);
    }
    case 'mse':
      return share(tally.of('squaredErrors'), places * metric.classes);
    case 'mae':
      return share(tally.of('absoluteErrors'), places * metric.classes);
  }
  return metric satisfies never;
}

const share = (part: readonly number[] | undefined, of: number): number | undefined => part && part[0] / of;

/** 0 ÷ 0 counts as 0: a class that is neither said nor true has no precision and no recall. */
const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

type ClassMetric = MetricOf<'precision' | 'recall' | 'f1'>;

function ofClassCounts({ name, average, classes }: ClassMetric, counts: readonly number[] | undefined) {
  if (!counts) return undefined;
  const [right, said, wanted] = [0, 1, 2].map((run) => counts.slice(run * classes, (run + 1) * classes));
  const one = (hits: number, claims: number, targets: number): number => {
    if (name === 'precision') return ratio(hits, claims);
    return name === 'recall' ? ratio(hits, targets) : ratio(2 * hits, claims + targets);
  };
  if (average === 'micro') return one(sum(right), sum(said), sum(wanted));
  return sum(right.map((hits, label) => one(hits, said[label], wanted[label]))) / classes;
}

function rowsOf(counts: readonly number[] | undefined): number[][] | undefined {
  if (!counts) return undefined;
  const extent = Math.sqrt(counts.length);
  return Array.from({ length: extent }, (_, row) => counts.slice(row * extent, (row + 1) * extent));
}

/**
 * Area under the ROC curve = the share of (yes, no) pairs that are ranked right, where a pair in one bin counts half. Of
 * several classes: each against the others, the mean over those that have both.
 */
function aucOf({ classes, bins }: MetricOf<'auc'>, counts: readonly number[] | undefined): number | null | undefined {
  if (!counts) return undefined;
  const areas = Array.from({ length: classes }, (_, label) => {
    const at = 2 * label * bins;
    return areaOf(counts.slice(at, at + bins), counts.slice(at + bins, at + 2 * bins));
  }).filter((area) => area !== undefined);
  return areas.length === 0 ? null : sum(areas) / areas.length;
}

/** Undefined where there is nothing to compare. */
function areaOf(yes: readonly number[], no: readonly number[]): number | undefined {
  let below = 0;
  let right = 0;
  yes.forEach((count, bin) => {
    right += count * (below + no[bin] / 2);
    below += no[bin];
  });
  const pairs = sum(yes) * below;
  return pairs === 0 ? undefined : right / pairs;
}
