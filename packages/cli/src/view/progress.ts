/** What a run looks like to people: a pure state, fed with the coordinator's events, and its texts. */
import type { CoordinatorEvent, EvaluationEvent, StepEvent } from '@coord/coordinator';
import { formatBar, formatCount, formatDuration, formatRate, plural } from './format.js';
import { evaluationTexts, metricTexts } from './metrics.js';

export interface Plan {
  readonly epochs: number;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly globalBatch: number;
  /** What the samples are called: images, samples. */
  readonly noun: string;
}

export interface Progress {
  readonly plan: Plan;
  readonly step: StepEvent | undefined;
  readonly workers: number;
  /** Shown instead of numbers while nothing moves. */
  readonly waitingFor: string | undefined;
}

export const initialProgress = (plan: Plan): Progress => ({
  plan,
  step: undefined,
  workers: 0,
  waitingFor: 'workers to join',
});

export function advance(progress: Progress, event: CoordinatorEvent): Progress {
  switch (event.event) {
    case 'step':
      return { ...progress, step: event, waitingFor: undefined };
    case 'view':
      return { ...progress, workers: event.workers, waitingFor: undefined };
    case 'waiting':
      return { ...progress, waitingFor: `workers (${event.present} of ${event.needed})` };
    case 'stopping':
      return { ...progress, waitingFor: undefined };
    default:
      return progress;
  }
}

/** Seconds to the end at the present rate; undefined until there is one. */
export function etaSeconds(progress: Progress): number | undefined {
  const { step, plan } = progress;
  if (step === undefined || step.samplesPerSecond <= 0) return undefined;
  return ((plan.totalSteps - step.step) * plan.globalBatch) / step.samplesPerSecond;
}

function parts(progress: Progress, step: StepEvent): string[] {
  const { plan, workers } = progress;
  const eta = etaSeconds(progress);
  return [
    `epoch ${step.epoch + 1}/${plan.epochs}`,
    `step ${formatCount(step.step)}/${formatCount(plan.totalSteps)}`,
    ...metricTexts(step),
    `${formatRate(step.samplesPerSecond)} ${plan.noun}/s`,
    eta === undefined ? '' : `ETA ${formatDuration(eta)}`,
    plural(workers, 'worker'),
  ].filter((part) => part !== '');
}

/** One line without a bar, for files and pipes. */
export function progressLine(progress: Progress): string {
  if (progress.step === undefined || progress.waitingFor !== undefined) {
    return `waiting for ${progress.waitingFor ?? 'the first step'}`;
  }
  return parts(progress, progress.step).join(' · ');
}

const BAR_WIDTH = { least: 8, most: 30 };

/** The same with a bar, cut to the terminal's width. */
export function barLine(progress: Progress, columns: number): string {
  const text = progressLine(progress);
  const share = (progress.step?.step ?? 0) / Math.max(1, progress.plan.totalSteps);
  const room = columns - text.length - 2;
  if (room < BAR_WIDTH.least) return wholeParts(text, columns);
  return `${formatBar(share, Math.min(BAR_WIDTH.most, room))} ${text}`;
}

/** As many parts as fit: a number that is cut off says something else. */
function wholeParts(text: string, columns: number): string {
  if (text.length < columns) return text;
  const end = text.lastIndexOf(' · ', columns - 1);
  return text.slice(0, end > 0 ? end : Math.max(0, columns - 1));
}

function evaluationLine(plan: Plan, event: EvaluationEvent): string {
  const measured = evaluationTexts(event, 'test ');
  const took = formatDuration(event.durationMs / 1000);
  return `epoch ${event.epoch}/${plan.epochs} done: ${measured.join(' · ')} · ${plural(event.samples, 'sample')} in ${took}`;
}

function recoveryLine(event: Extract<CoordinatorEvent, { event: 'recovered' }>): string {
  const ms = (part: number) => Math.round(part);
  const { totalMs, viewMs, ringMs, syncMs, grainsMs, stepMs } = event;
  const parts = `view ${ms(viewMs)}, ring ${ms(ringMs)}, state ${ms(syncMs)}, grains ${ms(grainsMs)}, rest of the step ${ms(stepMs)}`;
  return `step ${formatCount(event.step)} completed ${ms(totalMs)} ms after the change was noticed (${parts} ms)`;
}

function repairLine({ name, step, isIntact, arrays }: Extract<CoordinatorEvent, { event: 'worker-repaired' }>): string {
  const what = arrays.slice(0, 3).map(({ name: array, count }) => `${array} (${plural(count, 'element')})`);
  const cause = isIntact ? 'its update came out otherwise' : 'its memory changed';
  return `worker ${name} was repaired at step ${step}: ${cause} in ${what.join(', ')}${arrays.length > 3 ? ' …' : ''}`;
}

const stragglerLine = ({ name, factor, extraMs }: Extract<CoordinatorEvent, { event: 'straggler' }>): string =>
  `worker ${name} is a straggler: ${factor.toFixed(1)} × slower than the others, which wait ${formatDuration(extraMs / 1000)} a step for it`;

function stragglerOverLine(event: Extract<CoordinatorEvent, { event: 'straggler-over' }>): string {
  const { name, forMs, forSteps } = event;
  return `worker ${name} is no straggler any longer, after ${formatDuration(forMs / 1000)} (${plural(forSteps, 'step')})`;
}

/** Workers that are threads of one process have one place in the ring. */
function ringText({ members, workers }: Extract<CoordinatorEvent, { event: 'view' }>): string {
  if (workers === members.length) return `ring of ${plural(workers, 'worker')}`;
  return `ring of ${plural(members.length, 'host')} with ${plural(workers, 'worker')}`;
}

/** Reasons may carry a stack; all of it is in the log. */
const firstLine = (text: string): string => text.split('\n', 1)[0];

/** The line that an event leaves behind in the scroll; undefined when it only moves the bar. */
export function eventLine(plan: Plan, event: CoordinatorEvent): string | undefined {
  switch (event.event) {
    case 'worker-joined':
      return `worker ${event.name} joined from ${event.remote}`;
    case 'worker-ready':
      return `worker ${event.name} is ready: ${event.engine}`;
    case 'worker-lost':
      return `worker ${event.name} ${event.left ? 'left' : 'was lost'}: ${firstLine(event.reason)}`;
    case 'view':
      return `${ringText(event)} (generation ${event.generation}): ${firstLine(event.reason)}`;
    case 'waiting':
      return firstLine(event.reason);
    case 'evaluation':
      return evaluationLine(plan, event);
    case 'checkpoint':
      return `checkpoint of step ${formatCount(event.step)} written to ${event.path}`;
    case 'warning':
      return `warning: ${firstLine(event.message)} (${event.code})`;
    case 'recovered':
      return recoveryLine(event);
    case 'worker-repaired':
      return repairLine(event);
    case 'straggler':
      return stragglerLine(event);
    case 'straggler-over':
      return stragglerOverLine(event);
    case 'worker-diverged': // A warning says the same, with both hashes.
    case 'listening':
    case 'stopping':
    case 'step':
    case 'finished':
      return undefined;
    default:
      return event satisfies never;
  }
}
