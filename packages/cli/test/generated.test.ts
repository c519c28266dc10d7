import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { withCommands } from '../src/command-reference.js';
import { type JsonSchemaNode, jsonSchemaText, runConfigJsonSchema } from '../src/config/json-schema.js';
import { withReference } from '../src/config/reference.js';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** Path → node, for every leaf; the variants of a union share their paths. */
function leaves(node: JsonSchemaNode, path = ''): [string, JsonSchemaNode][] {
  const variants = node.oneOf ?? [node];
  return variants.flatMap((variant) =>
    variant.properties
      ? Object.entries(variant.properties).flatMap(([key, child]) =>
          leaves(child, path === '' ? key : `${path}.${key}`),
        )
      : [[path, variant] as [string, JsonSchemaNode]],
  );
}

describe('what is generated from the schema and the commands', () => {
  it('is fresh in configs/coord.schema.json (else: npm run schema)', () => {
    expect(read('configs/coord.schema.json')).toBe(jsonSchemaText());
  });

  it('is fresh in docs/configuration.md (else: npm run schema)', () => {
    const document = read('docs/configuration.md');
    expect(document).toBe(withReference(document));
  });

  it('is fresh in docs/cli.md (else: npm run schema)', () => {
    const document = read('docs/cli.md');
    expect(document).toBe(withCommands(document));
  });

  it('describes every key', () => {
    const silent = leaves(runConfigJsonSchema())
      .filter(([, node]) => node.description === undefined && node.const === undefined)
      .map(([path]) => path);
    expect(silent).toEqual([]);
  });

  it('is named by every file in configs/, so that editors complete it', () => {
    for (const name of ['mnist-cnn', 'mnist-mlp', 'synthetic-tiny']) {
      expect(read(`configs/${name}.yaml`).split('\n')[0]).toBe('# yaml-language-server: $schema=./coord.schema.json');
    }
  });

  it('is lean: files in configs/ do not repeat a default', () => {
    const { properties = {} } = runConfigJsonSchema();
    for (const name of ['mnist-cnn', 'mnist-mlp', 'synthetic-tiny']) {
      const given = parse(read(`configs/${name}.yaml`)) as Record<string, unknown>;
      for (const [key, value] of Object.entries(given))
        expect(value, `${name}: ${key}`).not.toEqual(properties[key].default);
    }
  });
});
