/** How each part of a tally is counted from a batch's predictions. Counts are exact; sums are taken in float64, in order. */
import type { Statistic } from '@coord/protocol';
import type { Predictions } from './predictions.js';

type Observer<Name extends Statistic['name']> = (
  seen: Predictions,
  statistic: Extract<Statistic, { name: Name }>,
  out: Float64Array,
) => void;

const OBSERVERS: { readonly [Name in Statistic['name']]: Observer<Name> } = {
  hits(seen, _, out) {
    for (let place = 0; place < seen.places; place++) if (seen.said(place) === seen.wanted(place)) out[0]++;
  },
  topHits(seen, { k }, out) {
    for (let place = 0; place < seen.places; place++) if (seen.outranking(place) < k) out[0]++;
  },
  classCounts(seen, _, out) {
    const { classes, kind } = seen;
    for (let place = 0; place < seen.places; place++) {
      const [said, wanted] = [seen.said(place), seen.wanted(place)];
      if (kind === 'yesNo') countYes(said, wanted, out);
      else {
        if (said === wanted) out[said]++;
        out[classes + said]++;
        out[2 * classes + wanted]++;
      }
    }
  },
  confusion(seen, _, out) {
    const extent = Math.sqrt(out.length);
    for (let place = 0; place < seen.places; place++) out[seen.wanted(place) * extent + seen.said(place)]++;
  },
  histograms(seen, { bins }, out) {
    const { classes, kind } = seen;
    const probabilities = new Float64Array(classes);
    for (let place = 0; place < seen.places; place++) {
      seen.values(place, probabilities);
      const wanted = seen.wanted(place);
      for (let label = 0; label < classes; label++) {
        const isYes = kind === 'yesNo' ? wanted === 1 : wanted === label;
        out[(2 * label + (isYes ? 0 : 1)) * bins + binOf(probabilities[label], bins)]++;
      }
    }
  },
  surprise(seen, _, out) {
    const scratch = new Float64Array(seen.classes);
    for (let place = 0; place < seen.places; place++) out[0] += seen.surprise(place, scratch);
  },
  squaredErrors(seen, _, out) {
    eachError(seen, (error) => {
      out[0] += error * error;
    });
  },
  absoluteErrors(seen, _, out) {
    eachError(seen, (error) => {
      out[0] += Math.abs(error);
    });
  },
};

/** Adds what a batch says about a statistic to `out`, which has the part's size. */
export function observe(statistic: Statistic, seen: Predictions, out: Float64Array): void {
  (OBSERVERS[statistic.name] as Observer<Statistic['name']>)(seen, statistic, out);
}

/** Said and true, said, true: of yes. */
function countYes(said: number, wanted: number, out: Float64Array): void {
  out[0] += said * wanted;
  out[1] += said;
  out[2] += wanted;
}

/** NaN counts as the lowest. */
function binOf(probability: number, bins: number): number {
  const bin = Math.floor(probability * bins);
  return bin > 0 ? Math.min(bins - 1, bin) : 0;
}

/** Visits output − target of every element. */
function eachError(seen: Predictions, visit: (error: number) => void): void {
  const values = new Float64Array(seen.classes);
  for (let place = 0; place < seen.places; place++) {
    seen.values(place, values);
    for (let element = 0; element < seen.classes; element++)
      visit(values[element] - seen.targetElement(place, element));
  }
}
