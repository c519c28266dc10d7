/** `--set key.path=value` and the flags that stand for one: a value at a path, and the flag to blame for it. */
import { parseDocument } from 'yaml';
import type { Path } from './problem.js';

export interface Override {
  /** As the person wrote it, for errors. */
  readonly flag: string;
  readonly path: Path;
  readonly value: unknown;
}

export interface OverrideProblem {
  readonly flag: string;
  readonly message: string;
}

/** Reads the text of one `--set`; the value has YAML's syntax, so `[1, 2]`, `true` and `{name: sgd}` work. */
export function parseOverride(text: string): Override | OverrideProblem {
  const flag = `--set ${text}`;
  const equals = text.indexOf('=');
  if (equals <= 0) return { flag, message: 'expected key.path=value, as in --set optimizer.learningRate=0.01' };
  const path = text.slice(0, equals).trim().split('.').map(toKey);
  if (path.some((key) => key === '' || key === '__proto__')) {
    return { flag, message: 'expected a path of keys joined by dots before the =, as in optimizer.learningRate' };
  }
  const document = parseDocument(text.slice(equals + 1), { prettyErrors: false });
  const [error] = document.errors;
  if (error) return { flag, message: `the value is not valid YAML: ${error.message}` };
  return { flag, path, value: document.toJS() };
}

const toKey = (text: string): PropertyKey => (/^\d+$/.test(text) ? Number(text) : text);

export const isOverride = (parsed: Override | OverrideProblem): parsed is Override => 'path' in parsed;

type Container = Record<PropertyKey, unknown>;
const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;

/** A copy of `root` with the override's value in place; mappings on the way are made where there are none. */
export function applyOverride(root: unknown, override: Override): unknown {
  const copy = isContainer(root) ? structuredClone(root) : {};
  let container: Container = copy;
  for (const key of override.path.slice(0, -1)) {
    if (!isContainer(container[key])) container[key] = {};
    container = container[key] as Container;
  }
  container[override.path.at(-1) as PropertyKey] = override.value;
  return copy;
}

const startsWith = (path: Path, prefix: Path): boolean =>
  prefix.length <= path.length && prefix.every((key, index) => String(path[index]) === String(key));

/** The last override that decided what stands at `path` or below it. */
export function overrideAt(overrides: readonly Override[], path: Path): Override | undefined {
  return overrides.findLast((override) => startsWith(path, override.path) || startsWith(override.path, path));
}
