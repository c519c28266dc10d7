import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf, errorText, type FileFacts, PIECE_BYTES } from '@coord/disk';
import { corrupt } from './corrupt.js';

/**
 * Reads a file whose size and SHA-256 are known.
 * @throws CoordError CHECKPOINT_CORRUPT when it is missing, unreadable, of another size or of another content.
 */
export function readVerified(file: string, expected: FileFacts): Promise<Uint8Array> {
  return withFile(file, async (handle, bytes) => {
    if (bytes !== expected.bytes)
      throw corrupt(file, `it has ${bytes} bytes, not the ${expected.bytes} of its manifest`);
    const content = await readFully(handle, bytes, file);
    const sha256 = hashOf(content);
    if (sha256 === expected.sha256) return content;
    throw corrupt(file, `its SHA-256 is ${sha256}, not the ${expected.sha256} of its manifest: bytes have changed`);
  });
}

/** Reads a file of at most `limitBytes`. @throws CoordError CHECKPOINT_CORRUPT as above. */
export function readLimited(file: string, limitBytes: number): Promise<Uint8Array> {
  return withFile(file, (handle, bytes) => {
    if (bytes > limitBytes) throw corrupt(file, `it has ${bytes} bytes; the limit is ${limitBytes}`);
    return readFully(handle, bytes, file);
  });
}

/** What is no file, as a pipe that nobody writes to, must not hold up whoever opens it to see that. Windows has no such flag. */
const READ_NOW = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

async function withFile<T>(file: string, use: (handle: FileHandle, bytes: number) => Promise<T>): Promise<T> {
  const handle = await open(file, READ_NOW).catch((cause: unknown) => {
    throw corrupt(
      file,
      errnoOf(cause) === 'ENOENT' ? 'it is missing' : `it cannot be read: ${errorText(cause)}`,
      cause,
    );
  });
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw corrupt(file, 'it is no file');
    return await use(handle, stats.size);
  } finally {
    await handle.close();
  }
}

async function readFully(handle: FileHandle, bytes: number, file: string): Promise<Uint8Array> {
  const content = new Uint8Array(bytes);
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await handle.read(content, at, Math.min(PIECE_BYTES, bytes - at), at);
    if (bytesRead === 0) throw corrupt(file, `it ended at byte ${at} of ${bytes} while it was read`);
    at += bytesRead;
  }
  return content;
}

function hashOf(content: Uint8Array): string {
  const hash = createHash('sha256');
  for (let at = 0; at < content.length; at += PIECE_BYTES) hash.update(content.subarray(at, at + PIECE_BYTES));
  return hash.digest('hex');
}
