/**
 * The metrics once more, in plain loops over final outputs: from the definitions in docs/metrics.md, straight to the value
 * that people read, without counts in between.
 */
import type { MetricSpec } from '@coord/protocol';

/** Finished outputs and targets, place by place; a target is a label, a distribution or (yes or no, numbers) one value. */
export interface Seen {
  readonly outputs: readonly (readonly number[])[];
  readonly targets: readonly (readonly number[])[];
}

const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values));
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

export function metricOf(metric: MetricSpec, { outputs, targets }: Seen): number | null | number[][] {
  const isYesNo = metric.kind === 'yesNo';
  const said = outputs.map((output) => (isYesNo ? Number(output[0] > 0.5) : largest(output)));
  const wanted = targets.map((target) => (isYesNo ? target[0] : largest(target)));
  const labels = isYesNo ? [1] : Array.from({ length: metric.classes }, (_, label) => label);
  const count = (of: (place: number) => boolean) => said.filter((_, place) => of(place)).length;
  switch (metric.name) {
    case 'accuracy':
      return mean(said.map((label, place) => Number(label === wanted[place])));
    case 'topK':
      return mean(
        outputs.map((output, place) => {
          const order = output.map((_, label) => label).sort((a, b) => output[b] - output[a] || a - b);
          return Number(order.slice(0, metric.k).includes(wanted[place]));
        }),
      );
    case 'precision':
    case 'recall':
    case 'f1': {
      const of = (counts: readonly number[][]) => {
        const [right, claims, truths] = [0, 1, 2].map((which) => counts.reduce((sum, one) => sum + one[which], 0));
        const precision = claims === 0 ? 0 : right / claims;
        const recall = truths === 0 ? 0 : right / truths;
        if (metric.name !== 'f1') return metric.name === 'precision' ? precision : recall;
        return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
      };
      const counts = labels.map((label) => [
        count((place) => said[place] === label && wanted[place] === label),
        count((place) => said[place] === label),
        count((place) => wanted[place] === label),
      ]);
      return metric.average === 'micro' ? of(counts) : mean(counts.map((one) => of([one])));
    }
    case 'confusionMatrix': {
      const all = isYesNo ? [0, 1] : labels;
      return all.map((row) => all.map((column) => count((place) => wanted[place] === row && said[place] === column)));
    }
    case 'auc': {
      const areas = labels.flatMap((label) => {
        const bin = (place: number) =>
          Math.min(metric.bins - 1, Math.floor(outputs[place][isYesNo ? 0 : label] * metric.bins));
        const yes = said.map((_, place) => place).filter((place) => wanted[place] === label);
        const no = said.map((_, place) => place).filter((place) => wanted[place] !== label);
        if (yes.length === 0 || no.length === 0) return [];
        return [mean(yes.flatMap((a) => no.map((b) => (Math.sign(bin(a) - bin(b)) + 1) / 2)))];
      });
      return areas.length === 0 ? null : mean(areas);
    }
    case 'perplexity':
      return Math.exp(
        mean(
          outputs.map((output, place) =>
            targets[place].reduce(
              (sum, share, label) => (share === 0 ? sum : sum - share * Math.log(output[label])),
              0,
            ),
          ),
        ),
      );
    case 'mse':
      return mean(outputs.flatMap((output, place) => output.map((value, at) => (value - targets[place][at]) ** 2)));
    case 'mae':
      return mean(outputs.flatMap((output, place) => output.map((value, at) => Math.abs(value - targets[place][at]))));
  }
}
