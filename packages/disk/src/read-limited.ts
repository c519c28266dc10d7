import { open } from 'node:fs/promises';

/**
 * The bytes of a file, or of whatever else the path leads to, if they are not more than `limitBytes`: no more are read.
 *
 * @throws Error of the file system, or one that says that there are more. Callers say what the file was to be.
 */
export async function readLimited(file: string, limitBytes: number): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const pieces: Buffer[] = [];
    // `end` is the last byte that is read: one more than is allowed.
    for await (const piece of handle.createReadStream({ end: limitBytes, autoClose: false })) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    if (bytes.byteLength > limitBytes) throw new Error(`it is longer than ${limitBytes} bytes`);
    return bytes;
  } finally {
    await handle.close();
  }
}

/** The same as text. @throws Error as `readLimited`. */
export const readTextLimited = async (file: string, limitBytes: number): Promise<string> =>
  (await readLimited(file, limitBytes)).toString('utf8');
