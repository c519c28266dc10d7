/** Exactly once: the order is computed anew from the configuration, and every recorded step must consume its part of it. Pure. */
import type { LedgerRecord } from '@coord/coordinator';
import { sampleOrder } from '@coord/data';
import { planStep, type RunSpec, type StepPlan, stepsPerEpoch } from '@coord/protocol';
import { planOf, totalStepsOf } from '../initial-state.js';
import { type Finding, finding } from './finding.js';

/** Each recorded step has the epoch and the number of samples that the plan gives it. */
export function checkStepSamples(records: readonly LedgerRecord[], spec: RunSpec): Finding[] {
  return records.flatMap(({ seq, entry }) => {
    if (entry.type !== 'step') return [];
    const plan = planStep(planOf(spec), entry.step - 1);
    if (entry.epoch === plan.epoch && entry.samples === plan.samples) return [];
    const message =
      `step ${entry.step} consumed ${entry.samples} samples of epoch ${entry.epoch}, ` +
      `its part of the order is ${plan.samples} samples of epoch ${plan.epoch}`;
    return [finding('samples', seq, message)];
  });
}

/** A run that ended by itself has all the steps that its configuration asks for. */
export function checkEnd(records: readonly LedgerRecord[], spec: RunSpec): Finding[] {
  const last = records.findLast(({ entry }) => entry.type === 'run-started' || entry.type === 'finished');
  if (last?.entry.type !== 'finished' || last.entry.stopped) return [];
  const total = totalStepsOf(spec);
  if (last.entry.step === total) return [];
  const message = `the run is said to be complete after step ${last.entry.step}; its configuration asks for ${total}`;
  return [finding('step-missing', last.seq, message)];
}

export interface EpochCheck {
  readonly epochs: number;
  /** Samples that were consumed, over all epochs. */
  readonly samples: number;
  readonly findings: readonly Finding[];
}

/**
 * Every sample once an epoch: walks the order of each epoch over the grains of its recorded steps. An epoch in progress has
 * each sample at most once.
 *
 * @param firstStep with which the record begins: of the epoch in progress then, only the rest can be seen.
 * @param isRecorded whether the step that makes the count of completed steps `step` is on record.
 */
export function checkEpochs(
  spec: RunSpec,
  [firstStep, lastStep]: readonly [number, number],
  isRecorded: (step: number) => boolean,
): EpochCheck {
  const plan = planOf(spec);
  const perEpoch = stepsPerEpoch(plan);
  const findings: Finding[] = [];
  let samples = 0;
  const [first, epochs] = [Math.floor(firstStep / perEpoch), Math.ceil(lastStep / perEpoch)];
  for (let epoch = first; epoch < epochs; epoch++) {
    const start = Math.max(firstStep, epoch * perEpoch);
    const end = Math.min(lastStep, (epoch + 1) * perEpoch);
    const steps = range(start, end).filter((step) => isRecorded(step + 1));
    const seen = countSamples(
      spec,
      epoch,
      steps.map((step) => planStep(plan, step)),
    );
    samples += seen.consumed;
    findings.push(...judgeEpoch(epoch, seen, end - start === perEpoch));
  }
  return { epochs: epochs - first, samples, findings };
}

interface SampleCount {
  readonly consumed: number;
  readonly never: number;
  readonly often: number;
}

function countSamples({ seed, data }: RunSpec, epoch: number, plans: readonly StepPlan[]): SampleCount {
  const order = sampleOrder(seed, epoch, data.train.samples);
  const times = new Uint8Array(data.train.samples);
  let consumed = 0;
  for (const { position, count } of plans.flatMap(({ grains }) => grains)) {
    for (let at = position; at < position + count; at++) times[order.at(at)]++;
    consumed += count;
  }
  return { consumed, never: countOf(times, (n) => n === 0), often: countOf(times, (n) => n > 1) };
}

const countOf = (times: Uint8Array, matches: (n: number) => boolean): number =>
  times.reduce((count, n) => count + (matches(n) ? 1 : 0), 0);

function judgeEpoch(epoch: number, { never, often }: SampleCount, isComplete: boolean): Finding[] {
  const twice = often > 0 ? [`${often} samples more than once`] : [];
  const missed = isComplete && never > 0 ? [`${never} samples not at all`] : [];
  const wrong = [...twice, ...missed];
  return wrong.length === 0 ? [] : [finding('epoch', undefined, `epoch ${epoch} consumed ${wrong.join(' and ')}`)];
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);
