import { realpath, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory, replaceDurably, type WriteOptions } from './durable.js';
import { errnoOf, writing } from './write-failed.js';

/**
 * Puts text or bytes in place of a file, or of none, in one stroke, in a directory that is made where it is missing: whatever
 * happens meanwhile, there is the old file or the new one, whole, and the new one outlives a power cut once the promise resolves.
 *
 * A link stays one: the file that it leads to is replaced. What is no file (a pipe, a terminal) is written to.
 *
 * @throws CoordError CHECKPOINT_WRITE_FAILED naming the file; it is as it was.
 */
export function replaceFile(file: string, content: string | Uint8Array, options: WriteOptions = {}): Promise<void> {
  return writing(file, async () => {
    if (await isSpecial(file)) return writeFile(file, content);
    await makeDirectory(dirname(file), options);
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    await replaceDurably(await placeOf(file), [bytes], options);
  });
}

async function isSpecial(file: string): Promise<boolean> {
  const found = await unlessMissing(stat(file));
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

const placeOf = async (file: string): Promise<string> => (await unlessMissing(realpath(file))) ?? file;

const unlessMissing = <T>(found: Promise<T>): Promise<T | undefined> =>
  found.catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
