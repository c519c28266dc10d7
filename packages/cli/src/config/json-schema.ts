/** The configuration's JSON Schema: published for editors, and read here to say what a key expects. */
import { z } from 'zod';
import { FILE_MODEL } from './model-schema.js';
import { runConfigSchema } from './schema.js';

export interface JsonSchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchemaNode;
  readonly prefixItems?: readonly JsonSchemaNode[];
  readonly oneOf?: readonly JsonSchemaNode[];
  readonly anyOf?: readonly JsonSchemaNode[];
}

export function runConfigJsonSchema(): JsonSchemaNode {
  const { $schema, ...body } = z.toJSONSchema(runConfigSchema, { io: 'input', override: withoutFileName });
  return { $schema, title: 'coord run configuration', ...body } as JsonSchemaNode;
}

/** Where a model's file stands, its name need not. */
function withoutFileName({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  const { properties, required } = jsonSchema;
  const name = properties?.name;
  if (typeof name !== 'object' || name.const !== FILE_MODEL) return;
  jsonSchema.required = required?.filter((key) => key !== 'name');
}

/** Text of `configs/coord.schema.json`. */
export const jsonSchemaText = (): string => `${JSON.stringify(runConfigJsonSchema(), null, 2)}\n`;

/** A union may hold unions: a name, or one of several mappings. */
function variantsOf(node: JsonSchemaNode): readonly JsonSchemaNode[] {
  const variants = node.oneOf ?? node.anyOf;
  return variants ? variants.flatMap(variantsOf) : [node];
}

/** Names of the keys that may stand in the mapping at `path`, over all variants of every union on the way. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  const nodes = nodesAt(path).flatMap(variantsOf);
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

/** Made once: making it takes milliseconds, and every problem of a configuration asks for it several times. */
let rootNode: JsonSchemaNode | undefined;

/** Every schema that the value at `path` may have to meet. */
export function nodesAt(path: readonly PropertyKey[]): readonly JsonSchemaNode[] {
  rootNode ??= runConfigJsonSchema();
  let nodes: readonly JsonSchemaNode[] = [rootNode];
  for (const key of path) {
    nodes = nodes.flatMap(variantsOf).flatMap((node) => {
      const next = typeof key === 'number' ? (node.prefixItems?.[key] ?? node.items) : node.properties?.[String(key)];
      return next ? [next] : [];
    });
  }
  return nodes;
}
