/**
 * Tally: what is counted beside the loss so that the run's metrics can be derived from sums. Metrics share parts: precision,
 * recall and F1 of one output all read its class counts.
 *
 * Training steps tally what takes a few numbers a class; confusion matrices and AUC are of evaluations alone.
 */
import type { MetricSpec } from './metric-spec.js';

export type Purpose = 'training' | 'evaluation';

/** What a part holds, and of what it consists. */
export type Statistic =
  /** Places where the output says what the target says. */
  | { readonly name: 'hits' }
  /** Places where the target is among the k largest outputs. */
  | { readonly name: 'topHits'; readonly k: number }
  /** Three runs of `classes` counts: said and true, said, true. */
  | { readonly name: 'classCounts' }
  /** Rows are targets, columns what the output says. */
  | { readonly name: 'confusion' }
  /** For each class two histograms over probabilities: of places where it is the target, and of the others. */
  | { readonly name: 'histograms'; readonly bins: number }
  /** Sum of −log of the target's probability. */
  | { readonly name: 'surprise' }
  /** Sums over elements. */
  | { readonly name: 'squaredErrors' }
  | { readonly name: 'absoluteErrors' };

export interface TallyPart {
  readonly statistic: Statistic;
  /** A metric that reads the part: it says which output, and of what kind and how many classes that is. */
  readonly of: Pick<MetricSpec, 'output' | 'kind' | 'classes' | 'places'>;
  /** Numbers in the part. */
  readonly size: number;
  readonly unit: 'count' | 'sum';
}

const keyOf = ({ statistic, of }: Pick<TallyPart, 'statistic' | 'of'>): string =>
  `${of.output} ${JSON.stringify(statistic)}`;

/** The run's tally, in order: a pure function, so that everybody lays it out alike. */
export function tallyParts(metrics: readonly MetricSpec[], purpose: Purpose): TallyPart[] {
  const parts = new Map<string, TallyPart>();
  for (const metric of metrics) {
    const part = partOf(metric);
    if (part && (purpose === 'evaluation' || isSmall(part))) parts.set(keyOf(part), part);
  }
  return [...parts.values()];
}

export const tallySize = (parts: readonly TallyPart[]): number => parts.reduce((sum, { size }) => sum + size, 0);

const isSmall = ({ statistic }: TallyPart): boolean =>
  statistic.name !== 'confusion' && statistic.name !== 'histograms';

function partOf(metric: MetricSpec): TallyPart | undefined {
  const statistic = statisticOf(metric);
  return statistic && { statistic, of: metric, ...extentOf(statistic, metric) };
}

/** Undefined where the metric needs nothing beyond loss, right answers and samples. */
function statisticOf(metric: MetricSpec): Statistic | undefined {
  switch (metric.name) {
    case 'accuracy':
      return metric.ofAll ? undefined : { name: 'hits' };
    case 'topK':
      return { name: 'topHits', k: metric.k };
    case 'precision':
    case 'recall':
    case 'f1':
      return { name: 'classCounts' };
    case 'confusionMatrix':
      return { name: 'confusion' };
    case 'auc':
      return { name: 'histograms', bins: metric.bins };
    case 'perplexity':
      return { name: 'surprise' };
    case 'mse':
      return { name: 'squaredErrors' };
    case 'mae':
      return { name: 'absoluteErrors' };
  }
  return metric satisfies never;
}

function extentOf(statistic: Statistic, { kind, classes }: MetricSpec): Pick<TallyPart, 'size' | 'unit'> {
  switch (statistic.name) {
    case 'hits':
    case 'topHits':
      return { size: 1, unit: 'count' };
    case 'classCounts':
      return { size: 3 * classes, unit: 'count' };
    case 'confusion':
      return { size: kind === 'yesNo' ? 4 : classes * classes, unit: 'count' };
    case 'histograms':
      return { size: 2 * classes * statistic.bins, unit: 'count' };
    case 'surprise':
    case 'squaredErrors':
    case 'absoluteErrors':
      return { size: 1, unit: 'sum' };
  }
  return statistic satisfies never;
}
