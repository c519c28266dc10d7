/** The directory of a run: `config.json`, `ledger.jsonl`, `metrics.jsonl`, `checkpoints/`, `logs/`. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, errorText, makeDirectory, readTextLimited, replaceFile, writing } from '@coord/disk';
import { CoordError } from '@coord/protocol';
import { z } from 'zod';
import { type RunConfig, runConfigSchema } from './config/schema.js';

const CONFIG_FILE = 'config.json';
const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** What a run must remember to be continued, evaluated or exported later. */
const runRecordSchema = z.object({
  formatVersion: z.literal(1),
  runId: z.string().min(1),
  configSha256: z.string(),
  createdAt: z.string(),
  /** File that the run was started from; undefined for a bench. */
  configFile: z.string().optional(),
  /** Directory that relative paths in the configuration start from. */
  directory: z.string(),
  config: z.unknown(),
});

export interface RunRecord {
  readonly runId: string;
  readonly configSha256: string;
  readonly createdAt: string;
  readonly configFile?: string | undefined;
  readonly directory: string;
  readonly config: RunConfig;
}

/** `2026-01-31T12-00-00-cnn-k3f9`: sorts by time, says what it is, is not taken. */
export const runName = (now: Date, model: string, shortId: string): string =>
  `${now.toISOString().slice(0, 19).replaceAll(':', '-')}-${model}-${shortId}`;

export const logsDirectory = (runDir: string): string => join(runDir, 'logs');
export const metricsFile = (runDir: string): string => join(runDir, 'metrics.jsonl');

/** @throws CoordError USAGE when the directory already holds a run, CHECKPOINT_WRITE_FAILED. */
export async function createRunDirectory(runDir: string, record: RunRecord): Promise<void> {
  if (existsSync(join(runDir, CONFIG_FILE))) {
    throw new CoordError('USAGE', `${runDir} already holds a run`, {
      hint: `Continue it with \`coord start --resume ${runDir}\`, or choose another --run-dir.`,
      facts: { runDir },
    });
  }
  await writing(runDir, () => makeDirectory(logsDirectory(runDir)));
  await writeRunRecord(runDir, record);
}

/** @throws CoordError CHECKPOINT_WRITE_FAILED; the record is then the old one. */
export const writeRunRecord = (runDir: string, record: RunRecord): Promise<void> =>
  replaceFile(join(runDir, CONFIG_FILE), `${JSON.stringify({ formatVersion: 1, ...record }, null, 2)}\n`);

/** @throws CoordError CHECKPOINT_NOT_FOUND when there is no run, CHECKPOINT_CORRUPT when its record cannot be read. */
export async function readRunRecord(runDir: string): Promise<RunRecord> {
  const file = join(runDir, CONFIG_FILE);
  const text = await readTextLimited(file, MAX_FILE_BYTES).catch((cause: unknown) => {
    if (errnoOf(cause) !== 'ENOENT' && errnoOf(cause) !== 'ENOTDIR') throw unreadable(file, cause);
    throw new CoordError('CHECKPOINT_NOT_FOUND', `${runDir} is no run directory: it has no ${CONFIG_FILE}`, {
      hint: 'Give a directory that `coord start` made; by default they are in runs/.',
      facts: { runDir },
      cause,
    });
  });
  return parseRunRecord(file, text);
}

/** @throws CoordError CHECKPOINT_CORRUPT naming the first wrong place. */
export function parseRunRecord(file: string, text: string): RunRecord {
  try {
    const record = runRecordSchema.parse(JSON.parse(text));
    return { ...record, config: runConfigSchema.parse(record.config) };
  } catch (cause) {
    throw new CoordError('CHECKPOINT_CORRUPT', `${file} is damaged: ${describe(cause)}`, {
      hint: 'Start the run anew from its YAML file, or restore this file.',
      facts: { file },
      cause,
    });
  }
}

const unreadable = (file: string, cause: unknown): CoordError =>
  new CoordError('CHECKPOINT_CORRUPT', `${file} cannot be read: ${errorText(cause)}`, {
    hint: 'See that it is the file that `coord start` wrote, and that this user may read it.',
    facts: { file, errno: errnoOf(cause) },
    cause,
  });

function describe(cause: unknown): string {
  if (cause instanceof z.ZodError) {
    const [issue] = cause.issues;
    return `${issue.path.join('.') || '(the whole file)'}: ${issue.message}`;
  }
  return cause instanceof Error ? cause.message : String(cause);
}

/** The run directory around a run directory or one of its checkpoints; undefined when there is none. */
export function runDirectoryOf(path: string): string | undefined {
  const start = resolve(path);
  const candidates = [start, dirname(start), dirname(dirname(start))];
  return candidates.find((directory) => existsSync(join(directory, CONFIG_FILE)));
}
