/** Files read by ranges, so that a dataset need not fit in memory. Gzipped files are inflated whole. */
import { open, readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { invalidData } from './invalid.js';

const GZIP_MAGIC = [0x1f, 0x8b];
/** A gzipped file that grows beyond this does not belong in memory. */
const MAX_INFLATED_BYTES = 2 ** 31;

export interface ByteFile {
  readonly file: string;
  readonly sizeBytes: number;
  /** @throws CoordError DATASET_INVALID when the file has become unreadable or shorter. */
  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
}

/** @throws CoordError DATASET_INVALID when there is no such file, or its gzip stream is damaged. */
export async function openByteFile(file: string): Promise<ByteFile> {
  const plain = await openPlain(file);
  if (plain.sizeBytes < GZIP_MAGIC.length) return plain;
  const [first, second] = await plain.read(0, GZIP_MAGIC.length);
  return first === GZIP_MAGIC[0] && second === GZIP_MAGIC[1] ? inflate(file) : plain;
}

async function openPlain(file: string): Promise<ByteFile> {
  const info = await stat(file).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(file, cause);
  });
  if (!info.isFile()) throw invalidData({ file }, 'expected a file, found something else');
  return { file, sizeBytes: info.size, read: (offset, length) => readRange(file, offset, length) };
}

async function inflate(file: string): Promise<ByteFile> {
  const packed = await readFile(file);
  const bytes = await promisify(gunzip)(packed, { maxOutputLength: MAX_INFLATED_BYTES }).catch((cause: Error) => {
    throw invalidData({ file }, `the gzip stream is damaged or inflates beyond 2 GiB (${cause.message})`, {
      hint: 'Fetch the file again.',
      cause,
    });
  });
  return { file, sizeBytes: bytes.byteLength, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

/** Opened anew for every range: no handle to leak, and a replaced file is noticed by its block hashes. */
async function readRange(file: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
  const handle = await open(file).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(file, cause);
  });
  try {
    const bytes = new Uint8Array(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      const { bytesRead } = await handle.read(bytes, done, lengthBytes - done, offsetBytes + done);
      if (bytesRead === 0)
        throw invalidData({ file, offsetBytes: offsetBytes + done }, 'the file ends here; it has shrunk');
      done += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

function unreadable(file: string, cause: NodeJS.ErrnoException) {
  const why = cause.code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${cause.code ?? cause.message})`;
  return invalidData({ file }, why, {
    hint: 'Check the path; relative paths in a configuration are relative to its directory.',
    cause,
  });
}
