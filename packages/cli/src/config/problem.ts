/** Turns what the schema found into sentences: what is wrong, what was expected, which valid name is nearest. */
import { closest, distance } from 'fastest-levenshtein';
import type { z } from 'zod';
import { keysAt, nodesAt } from './json-schema.js';

export type Path = readonly PropertyKey[];

export interface Problem {
  readonly path: Path;
  /** Whether the path names a key that stands in the file (a key's own position) or one that is missing. */
  readonly at: 'key' | 'value' | 'missing';
  readonly message: string;
}

type Issue = z.core.$ZodIssue;

/** The valid name nearest to `given`, or undefined when none is near enough to be meant. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const best = closest(given, [...names]);
  const allowed = Math.max(2, Math.floor(Math.max(given.length, best.length) / 2));
  return distance(given.toLowerCase(), best.toLowerCase()) <= allowed ? best : undefined;
}

export function didYouMean(given: string, names: readonly string[]): string {
  const name = nearestName(given, names);
  return name === undefined ? '' : `; did you mean "${name}"?`;
}

const listed = (names: readonly unknown[]): string => names.map(String).join(', ');

function described(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'string') return `the text ${JSON.stringify(value)}`;
  return `${typeof value === 'number' ? 'the number ' : ''}${String(value)}`;
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  int: 'an integer',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  object: 'a mapping',
  array: 'a list',
  tuple: 'a list',
  integer: 'an integer',
};
const typeWords = (type: string): string => TYPE_WORDS[type] ?? type;

/** The type that the published schema names, which tells integers from numbers; else the one that the check named. */
function expectedWords(path: Path, fallback: string): string {
  const types = new Set(nodesAt(path).map((node) => node.type ?? fallback));
  return types.size === 1 ? typeWords([...types][0]) : typeWords(fallback);
}

function unknownKey(path: Path, key: string): Problem {
  const valid = keysAt(path);
  const nearest = didYouMean(key, valid);
  const rest = nearest || `; valid keys here are ${listed(valid)}`;
  return { path: [...path, key], at: 'key', message: `unknown key "${key}"${rest}` };
}

function missing(path: Path, expected: string, input: unknown): Problem {
  const key = String(path.at(-1));
  const siblings = typeof input === 'object' && input !== null ? Object.keys(input) : [];
  const known = keysAt(path.slice(0, -1));
  const strangers = siblings.filter((name) => !known.includes(name));
  const typo = nearestName(key, strangers);
  const hint = typo === undefined ? '' : ` ("${typo}" stands there)`;
  return { path, at: 'missing', message: `missing key "${key}"; expected ${expected}${hint}` };
}

function wrongChoice(path: Path, given: unknown, choices: readonly unknown[], container: unknown): Problem {
  const expected = choices.length === 1 ? String(choices[0]) : `one of ${listed(choices)}`;
  if (given === undefined) return missing(path, expected, container);
  const nearest = typeof given === 'string' ? didYouMean(given, choices.map(String)) : '';
  const shown = typeof given === 'string' ? `unknown name "${given}"` : `${described(given)} is not valid`;
  return { path, at: 'value', message: `${shown}; expected ${expected}${nearest}` };
}

function bound(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): string {
  const [limit, word] =
    issue.code === 'too_small'
      ? [issue.minimum, issue.inclusive ? 'at least' : 'more than']
      : [issue.maximum, issue.inclusive ? 'at most' : 'less than'];
  const unit = issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : '';
  return `${word} ${String(limit)}${unit}`;
}

function invalidUnion(issue: Extract<Issue, { code: 'invalid_union' }>, root: unknown): Problem[] {
  if (issue.discriminator !== undefined) {
    const options: readonly unknown[] = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
    // Undefined stands for a name that may be left out.
    const choices = options.filter((option) => option !== undefined);
    return [wrongChoice(issue.path, valueAt(root, issue.path), choices, valueAt(root, issue.path.slice(0, -1)))];
  }
  const meant = meantVariant(issue);
  if (meant) return meant.flatMap((inner) => explainIssue({ ...inner, path: [...issue.path, ...inner.path] }, root));
  const expected = issue.errors
    .flat()
    .map((inner) => (inner.code === 'invalid_type' ? typeWords(inner.expected) : inner.message));
  const given = described(valueAt(root, issue.path));
  return [
    { path: issue.path, at: 'value', message: `expected ${[...new Set(expected)].join(' or ')}, found ${given}` },
  ];
}

/** Of a union of a name, a mapping and a list: what is wrong with the variant that has the value's type, where there is one. */
function meantVariant({ errors }: Extract<Issue, { code: 'invalid_union' }>): Issue[] | undefined {
  const without = (...codes: Issue['code'][]) =>
    errors.filter((issues) => !issues.some(({ code, path }) => path.length === 0 && codes.includes(code)));
  // A mapping is no name either, so the name's variant counts only where no other is left.
  const [ofParts, ofType] = [without('invalid_type', 'invalid_value'), without('invalid_type')];
  return [ofParts, ofType].find((candidates) => candidates.length === 1)?.[0];
}

function wrongType(issue: Extract<Issue, { code: 'invalid_type' }>, root: unknown): Problem {
  const given = valueAt(root, issue.path);
  const expected = expectedWords(issue.path, issue.expected);
  if (given === undefined) return missing(issue.path, expected, valueAt(root, issue.path.slice(0, -1)));
  return { path: issue.path, at: 'value', message: `expected ${expected}, found ${described(given)}` };
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** All problems of one schema issue; `root` is the value that was checked. */
export function explainIssue(issue: Issue, root: unknown): Problem[] {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(issue.path, key));
    case 'invalid_type':
      return [wrongType(issue, root)];
    case 'invalid_value':
      return [wrongChoice(issue.path, valueAt(root, issue.path), issue.values, valueAt(root, issue.path.slice(0, -1)))];
    case 'invalid_union':
      return invalidUnion(issue, root);
    case 'too_small':
    case 'too_big':
      return [
        {
          path: issue.path,
          at: 'value',
          message: `expected ${bound(issue)}, found ${described(valueAt(root, issue.path))}`,
        },
      ];
    default:
      return [
        { path: issue.path, at: 'value', message: `${issue.message}, found ${described(valueAt(root, issue.path))}` },
      ];
  }
}
