/** docs/data.md shows nothing that the program would refuse. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATA_SOURCES, dataConfigSchema } from '@coord/data';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const text = readFileSync(join(import.meta.dirname, '..', 'docs', 'data.md'), 'utf8');
const examples = [...text.matchAll(/```yaml\n(.+?)```/gs)].map(
  (match) => parse(match[1]) as { data: { source: string } },
);

describe('docs/data.md', () => {
  it('has an example of every source', () => {
    expect(examples.map(({ data }) => data.source)).toEqual([...DATA_SOURCES]);
  });

  it.each(examples.map(({ data }) => data))('shows a valid configuration of $source', (data) => {
    expect(dataConfigSchema.parse(data)).toMatchObject(data);
  });
});
