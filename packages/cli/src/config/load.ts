/** Configuration from a file and flags: parsed, checked, every problem reported at once with its place. */
import { errnoOf, errorText, readTextLimited } from '@coord/disk';
import { CoordError } from '@coord/protocol';
import { LineCounter, parseDocument } from 'yaml';
import { withModelName } from './model-schema.js';
import { applyOverride, isOverride, type Override, type OverrideProblem, overrideAt } from './override.js';
import { type LocatedDocument, positionOf, stands, toPosition } from './position.js';
import { explainIssue, type Problem } from './problem.js';
import { type RunConfig, runConfigSchema } from './schema.js';

export interface ConfigSource {
  /** Name for errors. */
  readonly file: string;
  readonly text: string;
}

/** No person writes so much. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const LAST_LINE = Number.MAX_SAFE_INTEGER;

/** One problem with its place: a position in the file, or the flag that brought it in. */
interface PlacedProblem {
  readonly place: string;
  readonly key: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
}

/**
 * @throws CoordError CONFIG_NOT_FOUND, or CONFIG_INVALID listing every problem with file, line, column, key path, what was
 *   expected and the nearest valid name; problems of an override name its flag.
 */
export async function loadConfig(
  file: string,
  overrides: readonly (Override | OverrideProblem)[] = [],
): Promise<RunConfig> {
  return parseConfig({ file, text: await readConfigText(file) }, overrides);
}

async function readConfigText(file: string): Promise<string> {
  try {
    return await readTextLimited(file, MAX_FILE_BYTES);
  } catch (cause) {
    const why = errnoOf(cause) ?? errorText(cause);
    throw new CoordError('CONFIG_NOT_FOUND', `cannot read the configuration ${file} (${why})`, {
      hint: 'Give the path of a YAML file; configs/ holds some to start from.',
      facts: { file },
      cause,
    });
  }
}

/** @throws CoordError CONFIG_INVALID, as loadConfig. */
export function parseConfig(source: ConfigSource, overrides: readonly (Override | OverrideProblem)[] = []): RunConfig {
  const lines = new LineCounter();
  const located: LocatedDocument = {
    document: parseDocument(source.text, { lineCounter: lines, prettyErrors: false }),
    lines,
  };
  const syntax = syntaxProblems(source, located);
  if (syntax.length > 0) throw invalid(source, syntax);
  const good = overrides.filter(isOverride);
  const root = withModelName(good.reduce<unknown>(applyOverride, contentOf(source, located)));
  const flagProblems = overrides
    .filter((override): override is OverrideProblem => !isOverride(override))
    .map(({ flag, message }) => ({ place: flag, key: '', message }));
  const result = runConfigSchema.safeParse(root);
  if (result.success && flagProblems.length === 0) return result.data;
  const problems = (result.error?.issues ?? [])
    .flatMap((issue) => explainIssue(issue, root))
    .map((problem) => placed(source, located, good, problem))
    .sort((a, b) => (a.line ?? LAST_LINE) - (b.line ?? LAST_LINE));
  throw invalid(source, [...problems, ...flagProblems]);
}

/** The document's value; aliases are resolved here, and a document that explodes by them is refused. */
function contentOf(source: ConfigSource, { document }: LocatedDocument): unknown {
  try {
    return document.toJS() ?? {};
  } catch (cause) {
    const message = `malformed YAML: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw invalid(source, [{ place: source.file, key: '', message }]);
  }
}

function syntaxProblems(source: ConfigSource, { document, lines }: LocatedDocument): PlacedProblem[] {
  return [...document.errors, ...document.warnings].map((error) => {
    const { line, column } = toPosition(lines, error.pos[0]);
    const message = `malformed YAML: ${error.message}`;
    return { place: `${source.file}:${line}:${column}`, key: '', message, line, column };
  });
}

function placed(
  source: ConfigSource,
  located: LocatedDocument,
  overrides: readonly Override[],
  problem: Problem,
): PlacedProblem {
  const key = problem.path.map(String).join('.');
  const override = blamed(located, overrides, problem);
  if (override) return { place: override.flag, key, message: problem.message };
  const { line, column } = positionOf(located, problem.path, problem.at);
  return { place: `${source.file}:${line}:${column}`, key, message: problem.message, line, column };
}

/** The flag that brought the problem in; for a missing key, the one that made the mapping in which it is missing. */
function blamed(located: LocatedDocument, overrides: readonly Override[], { path, at }: Problem): Override | undefined {
  const direct = overrideAt(overrides, path);
  if (direct || at !== 'missing' || stands(located, path.slice(0, -1))) return direct;
  return overrideAt(overrides, path.slice(0, -1));
}

function invalid(source: ConfigSource, problems: readonly PlacedProblem[]): CoordError {
  const list = problems.map(({ place, key, message }) => `\n  ${place}: ${key === '' ? '' : `${key}: `}${message}`);
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  const [{ line, column, key }] = problems;
  return new CoordError('CONFIG_INVALID', `the configuration ${source.file} has ${count}:${list.join('')}`, {
    hint: 'docs/configuration.md lists every key; configs/coord.schema.json completes them in editors.',
    facts: { file: source.file, line, column, key: key === '' ? undefined : key },
  });
}
