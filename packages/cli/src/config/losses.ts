/** From the `loss` key to the losses of a run specification: one an output, class weights counted and in the order of the classes. */
import type { PreparedDataset } from '@coord/data';
import { CoordError, type Field, type LossName, type LossSpec, lossesOf, OUTPUT_KINDS } from '@coord/protocol';
import type { ClassWeights, LossConfig, LossOptions } from './loss-schema.js';

/**
 * @param classesOf how many classes an output tells apart, by its number
 * @throws CoordError CONFIG_INVALID, DATASET_INVALID, or what reading the labels rejects with
 */
export async function resolveLosses(
  config: LossConfig,
  classesOf: readonly (number | undefined)[],
  dataset: PreparedDataset,
): Promise<LossSpec[]> {
  const targets = dataset.manifest.fields.filter(({ role }) => role === 'target');
  const choices = choicesOf(config, classesOf.length);
  if (choices.length !== classesOf.length) {
    throw misfit(`\`loss\` lists ${choices.length} losses; the model has ${classesOf.length} outputs`);
  }
  return Promise.all(choices.map((choice, output) => resolved(choice, targets[output], classesOf[output], dataset)));
}

function choicesOf(config: LossConfig, outputs: number): (LossName | LossOptions)[] {
  return Array.isArray(config) ? config : Array.from({ length: outputs }, () => config);
}

async function resolved(
  choice: LossName | LossOptions,
  target: Field | undefined,
  outputClasses: number | undefined,
  dataset: PreparedDataset,
): Promise<LossSpec> {
  if (typeof choice === 'string') return lossesOf(choice, 1)[0];
  if (!('classWeights' in choice) || choice.classWeights === undefined) return choice as LossSpec;
  const classes = OUTPUT_KINDS[choice.name] === 'yesNo' ? 2 : outputClasses;
  if (target?.dtype !== 'int32' || classes === undefined) {
    throw misfit('`loss.classWeights` needs a target of labels, as of a classification');
  }
  const classWeights =
    choice.classWeights === 'balanced'
      ? balanced(await dataset.countLabels(target.name, classes))
      : listed(choice.classWeights, classes, dataset.classNames);
  return { ...choice, classWeights } as LossSpec;
}

/** A class without samples has nothing to be weighted by, and counts as 1. */
function balanced(counts: readonly number[]): number[] {
  const samples = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (count === 0 ? 1 : samples / (counts.length * count)));
}

function listed(weights: Exclude<ClassWeights, 'balanced'>, classes: number, names: readonly string[] = []): number[] {
  const list = Array.from({ length: classes }, () => 1);
  for (const [key, weight] of Object.entries(weights)) {
    const named = names.indexOf(key);
    const label = named >= 0 ? named : /^\d+$/.test(key) ? Number(key) : -1;
    if (label < 0 || label >= classes)
      throw misfit(`\`loss.classWeights\` names the class "${key}"; ${known(classes, names)}`);
    list[label] = weight;
  }
  return list;
}

const known = (classes: number, names: readonly string[]): string =>
  names.length > 0 && names.length <= 20
    ? `the classes are ${names.join(', ')}`
    : `the classes are the numbers 0 to ${classes - 1}`;

const misfit = (message: string): CoordError =>
  new CoordError('CONFIG_INVALID', message, { hint: 'docs/metrics.md describes every loss and its options.' });
