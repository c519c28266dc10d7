/** Code and documentation list the same errors, with the same exit statuses, and no code is there that nothing raises. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_RULES, type ErrorCode, EXIT_CODE } from '@coord/protocol';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Cells of all table rows whose first cell is in backticks or a number. */
function tableRows(markdown: string): string[][] {
  const rows = markdown.split('\n').filter((line) => /^\| (`|\d)/.test(line));
  return rows.map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

const codesIn = (text: string): string[] => [...text.matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, code]) => code);

function sources(): string {
  const packages = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name, 'src'));
  const files = packages.flatMap((directory) =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(directory, file)),
  );
  return files
    .filter((file) => !file.endsWith(join('protocol', 'src', 'errors.ts')))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
}

const codes = Object.keys(ERROR_RULES) as ErrorCode[];

describe('docs/errors.md', () => {
  const rows = tableRows(read('docs/errors.md'));

  it('has every code once, and no other', () => {
    expect(rows.map(([code]) => code.replaceAll('`', '')).sort()).toEqual([...codes].sort());
  });

  it('says of each how the command ends, what happened, why, and what to do', () => {
    for (const [cell, exit, ...texts] of rows) {
      const rule = ERROR_RULES[cell.replaceAll('`', '') as ErrorCode];
      expect(exit, cell).toBe(rule.family === 'fatal' ? String(rule.exitCode) : 'recoverable');
      expect(texts, cell).toHaveLength(3);
      for (const text of texts) expect(text, cell).toMatch(/^\S.{3,}\.( \(.*\))?$|^As above.*\.$/);
    }
  });
});

describe('docs/exit-codes.md', () => {
  const rows = tableRows(read('docs/exit-codes.md'));

  it('has every exit status by its name', () => {
    const documented = rows.map(([status, name]) => [name.replaceAll('`', ''), Number(status)]);
    expect(Object.fromEntries(documented)).toEqual({ ...EXIT_CODE });
  });

  it('names the fatal codes of each', () => {
    for (const [status, , , listed] of rows) {
      const fatal = codes.filter(
        (code) => ERROR_RULES[code].family === 'fatal' && ERROR_RULES[code].exitCode === +status,
      );
      expect(codesIn(listed).sort(), status).toEqual(fatal.sort());
    }
  });
});

describe('every code', () => {
  const text = sources();

  it.each(codes)('%s is raised somewhere', (code) => {
    expect(text).toContain(`'${code}'`);
  });
});

describe('docs/failure-model.md', () => {
  it('names tests that exist', () => {
    const promises = read('docs/failure-model.md')
      .split('\n')
      .filter((line) => line.startsWith('| ') && line.includes('.test.ts'));
    expect(promises.length).toBeGreaterThan(10);
    for (const promise of promises) {
      const files = [...promise.matchAll(/`([\w./-]+\.test\.ts)`/g)].map(([, file]) => file);
      const [first] = files;
      for (const file of files) {
        const path = file.includes('/') ? file : join(first, '..', file);
        expect(existsSync(join(root, path)), path).toBe(true);
      }
    }
  });
});
