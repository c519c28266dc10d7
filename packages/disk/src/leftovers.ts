/**
 * Files that are written aside before they take their place, and what is left of them when their writer is killed. Their names
 * say whose they are: `FILE.MACHINE-PID-CHANCE.tmp`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isRunning } from './is-running.js';

const MACHINE = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
const ASIDE = /\.([\da-f]{8})-([1-9]\d{0,9})-[\da-f]{12}\.tmp$/;
/** Whoever is in the middle of writing has written within this time. */
const QUIET_MS = 10_000;

/** Several may write the same file at once, in one process too. */
export const asideOf = (file: string): string =>
  `${file}.${MACHINE}-${process.pid}-${randomBytes(6).toString('hex')}.tmp`;

/**
 * Removes, in a directory and all below it, what processes of this machine that are gone have left unfinished. What other
 * programs or machines write is left alone, and what has just been written too.
 *
 * @returns paths of what was removed. What cannot be looked at or removed stays: it is in nobody's way.
 */
export async function sweepLeftovers(directory: string, nowUnixMs = Date.now()): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const swept: string[] = [];
  for (const file of files) {
    if (!isOfNobody(file) || !(await isQuiet(file, nowUnixMs))) continue;
    const isGone = await rm(file).then(
      () => true,
      () => false,
    );
    if (isGone) swept.push(file);
  }
  return swept;
}

function isOfNobody(file: string): boolean {
  const [, machine, pid] = ASIDE.exec(file) ?? [];
  return machine === MACHINE && !isRunning(Number(pid));
}

const isQuiet = (file: string, nowUnixMs: number): Promise<boolean> =>
  stat(file).then(
    ({ mtimeMs }) => nowUnixMs - mtimeMs > QUIET_MS,
    () => false,
  );
