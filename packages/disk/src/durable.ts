/** Files that are on the disk, not in a cache, when the promise resolves. */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { asideOf } from './leftovers.js';

export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

export interface WriteOptions {
  /** Permissions of the new file, less what the process' umask takes away; by default everybody may read it. */
  readonly mode?: number;
  /** False where a file that a power cut takes away or tears is found out and made again: it need not wait for the disk. */
  readonly sync?: boolean;
}

/** Hash functions and reads take less than 2 GiB at a time. */
export const PIECE_BYTES = 64 * 1024 * 1024;

function* piecesOf(sections: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const section of sections) {
    for (let at = 0; at < section.byteLength; at += PIECE_BYTES) yield section.subarray(at, at + PIECE_BYTES);
  }
}

async function writeFully(handle: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.byteLength; ) {
    const { bytesWritten } = await handle.write(piece, at, piece.byteLength - at);
    at += bytesWritten;
  }
}

/** Writes a new file and, unless told otherwise, syncs it. @returns size and SHA-256 of what was written. */
export async function writeDurably(
  file: string,
  sections: Iterable<Uint8Array>,
  { mode, sync = true }: WriteOptions = {},
): Promise<FileFacts> {
  const hash = createHash('sha256');
  let bytes = 0;
  const handle = await open(file, 'wx', mode);
  try {
    for (const piece of piecesOf(sections)) {
      hash.update(piece);
      bytes += piece.byteLength;
      await writeFully(handle, piece);
    }
    if (sync) await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Puts a file in place of another (or of none) in one stroke: readers see the old or the new one. */
export async function replaceDurably(
  file: string,
  sections: Iterable<Uint8Array>,
  options: WriteOptions = {},
): Promise<void> {
  // Of several who write the same file at once the last one counts.
  const aside = asideOf(file);
  try {
    await writeDurably(aside, sections, options);
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
  if (options.sync !== false) await syncDirectory(dirname(file));
}

/** Makes a directory, and those around it that are missing, so that all of them survive a power cut unless told otherwise. */
export async function makeDirectory(directory: string, { sync = true }: WriteOptions = {}): Promise<void> {
  const first = await mkdir(directory, { recursive: true });
  if (first === undefined || !sync) return;
  const top = dirname(resolve(first));
  for (let made = resolve(directory); made.length > top.length; made = dirname(made))
    await syncDirectory(dirname(made));
}

/** Makes renames and new names in a directory survive a power cut. Windows has no such call and needs none. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
