/** The `loss` key: a name, a name with options, or a list with one an output of the model. */
import { LOSSES, lossSpecSchema } from '@coord/protocol';
import { z } from 'zod';

const classWeights = z
  .union([z.literal('balanced'), z.record(z.string(), z.number().min(0).max(1e6))])
  .optional()
  .describe(
    'Factor of the loss of each class: by the name or number of classes, 1 where left out; or `balanced`: samples ÷ (classes × samples of the class), counted in the training split.',
  );

const [categorical, sparse, binary, squared, absolute, huber, logCosh, poisson, hinge, squaredHinge, ...more] =
  lossSpecSchema.options;
const [categoricalHinge, klDivergence, cosineProximity] = more;

// A mapping without a name is the default loss with other options: `loss: {labelSmoothing: 0.1}`.
const namelessCategorical = categorical.extend({
  name: z.literal('categoricalCrossentropy').default('categoricalCrossentropy'),
  classWeights,
});
const optionsSchema = z.discriminatedUnion('name', [
  namelessCategorical,
  sparse.extend({ classWeights }),
  binary.extend({ classWeights }),
  squared,
  absolute,
  huber,
  logCosh,
  poisson,
  hinge.extend({ classWeights }),
  squaredHinge.extend({ classWeights }),
  categoricalHinge.extend({ classWeights }),
  klDivergence.extend({ classWeights }),
  cosineProximity,
]);
export type LossOptions = z.infer<typeof optionsSchema>;
export type ClassWeights = NonNullable<z.infer<typeof classWeights>>;

export const lossConfigSchema = z.union([
  z.enum(LOSSES),
  optionsSchema,
  z
    .array(z.union([z.enum(LOSSES), optionsSchema]))
    .min(1)
    .max(64),
]);
export type LossConfig = z.infer<typeof lossConfigSchema>;
