/** Names of directories: `RUN/checkpoints/step-00000938`, and what is not a checkpoint yet or any more beside them. */
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '@coord/disk';

const DIGITS = 8;
const NAME = /^step-(\d{8,})(?:\.(\d+))?$/;
const ASIDE_PREFIX = '.aside-';
/** Tells this process' unfinished directories from those that a dead one left. */
const PROCESS_TAG = randomBytes(6).toString('hex');

export const checkpointsDirectory = (runDir: string): string => join(runDir, 'checkpoints');

/** @param copy 0, or more where another checkpoint has the name already. */
export const checkpointName = (step: number, copy: number): string =>
  `step-${String(step).padStart(DIGITS, '0')}${copy === 0 ? '' : `.${copy}`}`;

export const isCheckpointName = (name: string): boolean => NAME.test(name);

let asideCount = 0;
export const asideName = (): string => `${ASIDE_PREFIX}${PROCESS_TAG}-${asideCount++}`;

export const isLeftover = (name: string): boolean =>
  name.startsWith(ASIDE_PREFIX) && !name.startsWith(`${ASIDE_PREFIX}${PROCESS_TAG}`);

export async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

export interface CheckpointName {
  readonly name: string;
  readonly step: number;
}

/** Names of checkpoints, oldest step first. */
export function sortedCheckpoints(names: readonly string[]): CheckpointName[] {
  const parsed = names.flatMap((name) => {
    const match = NAME.exec(name);
    return match ? [{ name, step: Number(match[1]), copy: Number(match[2] ?? 0) }] : [];
  });
  return parsed.sort((a, b) => a.step - b.step || a.copy - b.copy);
}

export const sortedCheckpointNames = (names: readonly string[]): string[] =>
  sortedCheckpoints(names).map(({ name }) => name);
