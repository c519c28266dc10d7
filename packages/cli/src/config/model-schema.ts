/** The `model` key: a name of the library and that model's own hyper-parameters, beside each other. */
import { listModels, type ModelDefinition } from '@coord/models';
import { z } from 'zod';

/** What stands for a name where the model comes from a file. */
export const FILE_MODEL = 'file';

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

const fromFile = z.strictObject({
  name: z.literal(FILE_MODEL).describe('A model of your own; `file` says it too, so the name may be left out.'),
  file: z
    .string()
    .min(1)
    .describe('TypeScript or JavaScript module, or a model.json of tfjs or Keras; docs/models.md.'),
  options: z.record(z.string(), z.unknown()).describe("What the module's function is called with.").default({}),
});

export const modelConfigSchema = z.discriminatedUnion('name', [first, ...others, fromFile]);

/** `model: {file: …}` needs no name. */
export function withModelName(root: unknown): unknown {
  if (!isMapping(root) || !isMapping(root.model)) return root;
  const { model } = root;
  return 'file' in model && !('name' in model) ? { ...root, model: { name: FILE_MODEL, ...model } } : root;
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
