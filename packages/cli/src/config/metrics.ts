/** From the `metrics` key to the metrics of a run specification: one an output, checked against what that output says. */
import {
  CoordError,
  type Field,
  type LossName,
  type LossSpec,
  MAX_CONFUSION_CLASSES,
  MAX_TALLY_SIZE,
  type MetricName,
  type MetricSpec,
  OUTPUT_KINDS,
  type OutputKind,
  sizeOfShape,
  tallyParts,
  tallySize,
} from '@coord/protocol';
import { type MetricOptions, type MetricsConfig, metricOptionsOf } from './metric-schema.js';

/** One output of the model with its target and loss. */
export interface MeasuredOutput {
  readonly target: Field;
  readonly loss: LossSpec;
  /** Extent of the output's last axis; undefined where the model leaves it open. */
  readonly classes: number | undefined;
}

const ANY: readonly OutputKind[] = ['classes', 'yesNo', 'numbers'];
const ANSWERS: readonly OutputKind[] = ['classes', 'yesNo'];

/** Kinds of outputs for which a metric has a meaning. */
const KINDS: Readonly<Record<MetricName, readonly OutputKind[]>> = {
  accuracy: ANSWERS,
  topK: ['classes'],
  precision: ANSWERS,
  recall: ANSWERS,
  f1: ANSWERS,
  confusionMatrix: ANSWERS,
  auc: ANSWERS,
  perplexity: ['classes'],
  mse: ANY,
  mae: ANY,
};

/** Scores of these losses are no probabilities. */
const SCORES: readonly LossName[] = ['hinge', 'squaredHinge', 'categoricalHinge'];

/** @throws CoordError CONFIG_INVALID naming the metric and why it cannot be had. */
export function resolveMetrics(config: MetricsConfig | undefined, outputs: readonly MeasuredOutput[]): MetricSpec[] {
  const specs = (config ?? ['accuracy']).map(metricOptionsOf).flatMap((options) => {
    const chosen = outputsOf(options, outputs, config === undefined);
    return chosen.map((output) => specOf(options, output, outputs));
  });
  requireUniqueKeys(specs);
  const size = tallySize(tallyParts(specs, 'evaluation'));
  if (size > MAX_TALLY_SIZE) throw refused(`they would count ${size} numbers; the limit is ${MAX_TALLY_SIZE}`);
  return specs;
}

/** Without a name all outputs; the default metric leaves out those for which it means nothing. */
function outputsOf(options: MetricOptions, outputs: readonly MeasuredOutput[], isDefault: boolean): number[] {
  const all = outputs.map((_, index) => index);
  if (isDefault) return all.filter((index) => ANSWERS.includes(OUTPUT_KINDS[outputs[index].loss.name]));
  if (options.output === undefined) return all;
  const found = outputs.findIndex(({ target }) => target.name === options.output);
  if (found >= 0) return [found];
  throw refused(
    `${options.name} is of the output "${options.output}", but the targets are ${outputs.map(({ target }) => target.name).join(', ')}`,
  );
}

function specOf(options: MetricOptions, output: number, outputs: readonly MeasuredOutput[]): MetricSpec {
  const { target, loss, classes } = outputs[output];
  const kind = OUTPUT_KINDS[loss.name];
  requireMeaning(options, kind, loss.name);
  const isSingle = outputs.length === 1;
  const key = isSingle ? keyOf(options) : `${target.name}.${keyOf(options)}`;
  const extent = kind === 'classes' ? classes : 1;
  if (extent === undefined) throw refused(`${options.name} needs an output whose last axis has a fixed extent`);
  requireExtent(options, extent);
  const isOneHot = kind === 'classes' && target.dtype === 'float32';
  const places = sizeOfShape(target.shape) / (isOneHot ? extent : 1);
  return { ...ownOptions(options), key, output, kind, classes: extent, places, ofAll: isSingle } as MetricSpec;
}

function ownOptions({ output, ...own }: MetricOptions): Omit<MetricOptions, 'output'> {
  return own;
}

function keyOf(options: MetricOptions): string {
  if (options.name === 'topK') return `top${options.k}`;
  return 'average' in options && options.average === 'micro' ? `${options.name}Micro` : options.name;
}

function requireMeaning({ name }: MetricOptions, kind: OutputKind, loss: LossName): void {
  if (!KINDS[name].includes(kind)) throw refused(`${name} means nothing for an output with the loss ${loss}`);
  const isOfProbabilities = name === 'mse' || name === 'mae' || name === 'perplexity';
  if (!SCORES.includes(loss) || (!isOfProbabilities && (name !== 'auc' || kind === 'yesNo'))) return;
  throw refused(`${name} needs probabilities, which the loss ${loss} does not give`);
}

function requireExtent(options: MetricOptions, classes: number): void {
  if (options.name === 'topK' && options.k >= classes) {
    throw refused(`topK with k = ${options.k} is always right: the output has ${classes} classes`);
  }
  if (options.name === 'confusionMatrix' && classes > MAX_CONFUSION_CLASSES) {
    throw refused(`confusionMatrix is for at most ${MAX_CONFUSION_CLASSES} classes; the output has ${classes}`);
  }
}

function requireUniqueKeys(specs: readonly MetricSpec[]): void {
  const keys = specs.map(({ key }) => key);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) throw refused(`${twice} is listed twice`);
}

const refused = (message: string): CoordError =>
  new CoordError('CONFIG_INVALID', `the metrics cannot be measured: ${message}`, {
    hint: 'Change `metrics` or `loss`; docs/metrics.md says which metrics go with which losses.',
  });
