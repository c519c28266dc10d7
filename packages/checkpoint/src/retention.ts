import { rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { refsIn } from './find.js';
import { asideName, isLeftover, listNames, sortedCheckpointNames } from './paths.js';

export interface Retention {
  /** Whole checkpoints that stay, the newest among them; at least 1. */
  readonly keepLast: number;
}

/** @throws RangeError */
export function requireRetention({ keepLast }: Retention): void {
  if (!Number.isInteger(keepLast) || keepLast < 1)
    throw new RangeError(`keepLast is ${keepLast}; it must be 1 or more`);
}

/** Removes what the retention rule does not keep, and what dead processes left half written. `newest` always stays. */
export async function prune(directory: string, newest: string, { keepLast }: Retention): Promise<void> {
  const others = (await refsIn(directory))
    .map(({ path }) => basename(path))
    .filter((name) => name !== basename(newest));
  const kept = new Set([basename(newest), ...(keepLast > 1 ? others.slice(1 - keepLast) : [])]);
  const names = await listNames(directory);
  const doomed = sortedCheckpointNames(names).filter((name) => !kept.has(name));
  for (const name of doomed) await remove(directory, name);
  for (const name of names.filter(isLeftover)) await rm(join(directory, name), { recursive: true, force: true });
}

/** Renamed before it is emptied, so that a crash in between leaves nothing that looks like a checkpoint. */
async function remove(directory: string, name: string): Promise<void> {
  const aside = join(directory, asideName());
  await rename(join(directory, name), aside);
  await rm(aside, { recursive: true });
}
