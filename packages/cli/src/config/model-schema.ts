/** The `model` key: a name of the library and that model's own hyper-parameters, beside each other. */
import { listModels, type ModelDefinition } from '@coord/models';
import { z } from 'zod';

type ModelVariant = z.ZodObject<{ name: z.ZodLiteral<string> }, z.core.$loose>;

function variantOf(definition: ModelDefinition): ModelVariant {
  if (!(definition.options instanceof z.ZodObject)) {
    throw new TypeError(`the options of model "${definition.name}" are no zod object`);
  }
  const name = z.literal(definition.name).describe(definition.summary);
  // Its static type forgets the options: which model it is, is known only when a configuration has been read.
  return z.strictObject({ name, ...definition.options.shape }) as unknown as ModelVariant;
}

const [first, ...others] = listModels().map(variantOf);

export const modelConfigSchema = z.discriminatedUnion('name', [first, ...others]);
