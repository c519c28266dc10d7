/** The small file system that run directory, logs and caches of a chaos run lie on, where one can be mounted. */
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOM = '1g';
const ATTEMPTS = 20;

export const mountDisk = async (directory: string): Promise<void> => {
  await run('mount', ['-t', 'tmpfs', '-o', `size=${ROOM}`, 'coord-chaos', directory]);
};

/** So that the directory can be removed; at once, whoever still looks at it. */
export const unmountDisk = async (directory: string): Promise<void> => {
  await run('umount', ['--lazy', directory]);
};

/** Leaves no room: the file system shrinks to what is on it. */
export async function fillDisk(directory: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { blocks, bfree, bsize } = await statfs(directory);
    const resized = await resize(directory, `${(blocks - bfree) * bsize}`).catch(() => false);
    // Somebody has written in between, so that it does not fit.
    if (resized) return;
  }
  throw new Error(`${directory} could not be filled`);
}

export const freeDisk = async (directory: string): Promise<void> => {
  await resize(directory, ROOM);
};

async function resize(directory: string, size: string): Promise<boolean> {
  await run('mount', ['-o', `remount,size=${size}`, directory]);
  return true;
}
