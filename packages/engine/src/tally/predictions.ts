/** A batch as the tally sees it: what each place says, what its target says, and how likely that was. */
import { OUTPUT_KINDS, type OutputKind } from '@coord/protocol';
import { isLogits } from '../step/model-step.js';
import type { PreparedStep } from '../step/prepare.js';

type Elements = Float32Array | Int32Array;

/** How an output's numbers become probabilities: not at all, or by the activation that was taken off or never there. */
type Link = 'none' | 'softmax' | 'sigmoid';

/** One output of a model and its target, for a batch. Class targets are labels, or one number a class. */
export class Predictions {
  /** Places in the batch. */
  readonly places: number;

  constructor(
    readonly kind: OutputKind,
    /** Extent of the last axis where the kind is `classes`; else 1. */
    readonly classes: number,
    private readonly output: Float32Array,
    private readonly target: Elements,
    private readonly link: Link,
    /** Above this an output of yes or no says yes. */
    private readonly threshold: number,
  ) {
    this.places = output.length / classes;
  }

  /** The class that a place says: the first of the largest outputs; 1 for yes. */
  said(place: number): number {
    if (this.kind === 'yesNo') return this.output[place] > this.threshold ? 1 : 0;
    return firstLargest(this.output, place * this.classes, this.classes);
  }

  wanted(place: number): number {
    if (this.kind === 'yesNo') return this.target[place] > 0.5 ? 1 : 0;
    if (this.hasLabels) return this.target[place];
    return firstLargest(this.target, place * this.classes, this.classes);
  }

  /** Outputs that come before the target's own when sorted, largest first; equal ones in the order of the classes. */
  outranking(place: number): number {
    const at = place * this.classes;
    const label = this.wanted(place);
    const own = this.output[at + label];
    let better = 0;
    for (let other = 0; other < this.classes; other++) {
      const value = this.output[at + other];
      if (value > own || (value === own && other < label)) better++;
    }
    return better;
  }

  /** What the finished output says at a place, one value a class: probabilities, where the model gives such. */
  values(place: number, out: Float64Array): void {
    const at = place * this.classes;
    const largest = this.link === 'softmax' ? this.output[at + this.said(place)] : 0;
    for (let label = 0; label < this.classes; label++) out[label] = this.activated(this.output[at + label], largest);
    if (this.link === 'softmax') normalise(out);
  }

  /** −log of the target's probability; of a distribution, the mean over it. */
  surprise(place: number, scratch: Float64Array): number {
    this.values(place, scratch);
    normalise(scratch);
    if (this.hasLabels) return negativeLog(scratch[this.wanted(place)]);
    let sum = 0;
    for (let label = 0; label < this.classes; label++) {
      sum += this.target[place * this.classes + label] * negativeLog(scratch[label]);
    }
    return sum;
  }

  /** What an element of the target says: a number, or 1 at a label and 0 elsewhere. */
  targetElement(place: number, element: number): number {
    if (this.kind === 'classes' && this.hasLabels) return this.wanted(place) === element ? 1 : 0;
    return this.target[place * this.classes + element];
  }

  private activated(value: number, largest: number): number {
    if (this.link === 'softmax') return Math.exp(value - largest);
    return this.link === 'sigmoid' ? 1 / (1 + Math.exp(-value)) : value;
  }

  private get hasLabels(): boolean {
    return this.target instanceof Int32Array;
  }
}

/** As in the losses, so that no place is infinitely surprising. */
const LEAST_PROBABILITY = 1e-7;
const negativeLog = (probability: number): number => -Math.log(Math.max(LEAST_PROBABILITY, probability));

function normalise(values: Float64Array): void {
  const sum = values.reduce((total, value) => total + value, 0);
  for (let index = 0; index < values.length; index++) values[index] /= sum;
}

function firstLargest(values: Elements, at: number, count: number): number {
  let best = 0;
  for (let index = 1; index < count; index++) if (values[at + index] > values[at + best]) best = index;
  return best;
}

/** @param output as the trained model gives it, before the activation that was taken off. */
export function predictionsOf(
  step: PreparedStep,
  index: number,
  classes: number,
  output: Float32Array,
  target: Elements,
): Predictions {
  const { name } = step.losses[index];
  const kind = OUTPUT_KINDS[name];
  const link = isLogits(step, index) || name === 'hinge' || name === 'squaredHinge' ? LINKS[kind] : 'none';
  return new Predictions(kind, classes, output, target, link, link === 'sigmoid' ? 0 : 0.5);
}

const LINKS: Readonly<Record<OutputKind, Link>> = { classes: 'softmax', yesNo: 'sigmoid', numbers: 'none' };
