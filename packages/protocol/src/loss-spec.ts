/** Losses by name, with their options. What each computes stands in docs/metrics.md. */
import { z } from 'zod';

const weight = z
  .number()
  .min(0)
  .max(1e6)
  .describe("Factor of this output's loss in the sum over a model's outputs.")
  .default(1);
const classWeights = z
  .array(z.number().min(0).max(1e6))
  .max(1_000_000)
  .optional()
  .describe('Factor of the loss of each class, by its number.');
const labelSmoothing = z
  .number()
  .min(0)
  .lt(1)
  .describe("Share of a target's mass that is spread evenly over all classes.")
  .default(0);
const fromLogits = z
  .boolean()
  .describe('The model ends in logits: the loss applies the softmax or sigmoid itself.')
  .default(false);

/** For every loss; those of labels have class weights too. */
const common = { weight };
const labelled = { weight, classWeights };

export const lossSpecSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('categoricalCrossentropy'), ...labelled, labelSmoothing, fromLogits }),
  z.strictObject({ name: z.literal('sparseCategoricalCrossentropy'), ...labelled, fromLogits }),
  z.strictObject({ name: z.literal('binaryCrossentropy'), ...labelled, labelSmoothing, fromLogits }),
  z.strictObject({ name: z.literal('meanSquaredError'), ...common }),
  z.strictObject({ name: z.literal('meanAbsoluteError'), ...common }),
  z.strictObject({
    name: z.literal('huber'),
    ...common,
    delta: z.number().positive().max(1e6).describe('Difference from which on the loss grows linearly.').default(1),
  }),
  z.strictObject({ name: z.literal('logCosh'), ...common }),
  z.strictObject({ name: z.literal('poisson'), ...common }),
  z.strictObject({ name: z.literal('hinge'), ...labelled }),
  z.strictObject({ name: z.literal('squaredHinge'), ...labelled }),
  z.strictObject({ name: z.literal('categoricalHinge'), ...labelled }),
  z.strictObject({ name: z.literal('klDivergence'), ...labelled }),
  z.strictObject({ name: z.literal('cosineProximity'), ...common }),
]);
export type LossSpec = z.infer<typeof lossSpecSchema>;
export type LossName = LossSpec['name'];

export const LOSSES = lossSpecSchema.options.map(({ shape }) => shape.name.value) as readonly LossName[] as readonly [
  LossName,
  ...LossName[],
];

const lossSchema = z.union([z.enum(LOSSES), lossSpecSchema]);
/** A name stands for the loss with its defaults; a list has one an output of the model, in order. */
export const lossChoiceSchema = z.union([z.enum(LOSSES), lossSpecSchema, z.array(lossSchema).min(1).max(64)]);
export type LossChoice = z.infer<typeof lossChoiceSchema>;

/** One an output; a single loss is that of every output. */
export function lossesOf(choice: LossChoice, outputs: number): LossSpec[] {
  if (Array.isArray(choice)) return choice.map(specOf);
  return Array.from({ length: outputs }, () => specOf(choice));
}

const specOf = (loss: LossName | LossSpec): LossSpec =>
  typeof loss === 'string' ? lossSpecSchema.parse({ name: loss }) : loss;

/**
 * What an output says, by its loss: `classes` one of several, along the last axis; `yesNo` yes or no at every place;
 * `numbers` numbers.
 */
export type OutputKind = 'classes' | 'yesNo' | 'numbers';

export const OUTPUT_KINDS: Readonly<Record<LossName, OutputKind>> = {
  categoricalCrossentropy: 'classes',
  sparseCategoricalCrossentropy: 'classes',
  binaryCrossentropy: 'yesNo',
  meanSquaredError: 'numbers',
  meanAbsoluteError: 'numbers',
  huber: 'numbers',
  logCosh: 'numbers',
  poisson: 'numbers',
  hinge: 'yesNo',
  squaredHinge: 'yesNo',
  categoricalHinge: 'classes',
  klDivergence: 'classes',
  cosineProximity: 'numbers',
};
