/** The directory in which workers keep blocks of samples. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { StorageReport } from './report.js';

export async function examineStorage(cacheDirectory: string): Promise<StorageReport> {
  try {
    await mkdir(cacheDirectory, { recursive: true });
    await writeAndRemove(join(cacheDirectory, `doctor-${randomUUID()}`));
    const { bavail, bsize } = await statfs(cacheDirectory);
    return { cacheDirectory, isWritable: true, freeBytes: bavail * bsize };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { cacheDirectory, isWritable: false, reason, freeBytes: null };
  }
}

/** To the disk itself: a full one accepts small files into memory. */
async function writeAndRemove(file: string): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    await handle.write(new Uint8Array(64 * 1024));
    await handle.sync();
  } finally {
    await handle.close();
    await rm(file);
  }
}
