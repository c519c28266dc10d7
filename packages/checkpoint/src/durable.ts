/** Files that are on the disk, not in a cache, when the promise resolves. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
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

/** Writes a new file and syncs it. @returns size and SHA-256 of what was written. */
export async function writeDurably(file: string, sections: Iterable<Uint8Array>): Promise<FileFacts> {
  const hash = createHash('sha256');
  let bytes = 0;
  const handle = await open(file, 'wx');
  try {
    for (const piece of piecesOf(sections)) {
      hash.update(piece);
      bytes += piece.byteLength;
      await writeFully(handle, piece);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Puts a file in place of another (or of none) in one stroke: readers see the old or the new one. */
export async function replaceDurably(file: string, sections: Iterable<Uint8Array>): Promise<void> {
  const aside = `${file}.${process.pid}.tmp`;
  await rm(aside, { force: true });
  try {
    await writeDurably(aside, sections);
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
  await syncDirectory(dirname(file));
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
