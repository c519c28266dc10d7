/**
 * IDX files: a header (two zero bytes, element type, number of dimensions, each dimension as a big-endian uint32), then the
 * elements, big-endian, the last dimension fastest. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database".
 */
import type { Field } from '@coord/protocol';
import { type ByteFile, openByteFile } from './byte-file.js';
import { invalidData } from './invalid.js';
import { bytesOf, elementsOf } from './sources/source.js';

type Storage = Field['storage'];

interface IdxType {
  readonly name: string;
  readonly sizeBytes: number;
  /** The manifest's storage type that holds these elements. */
  readonly storage: Storage;
  readonly read: (view: DataView, offsetBytes: number) => number;
}

const IDX_TYPES: Readonly<Record<number, IdxType>> = {
  8: { name: 'uint8', sizeBytes: 1, storage: 'uint8', read: (view, at) => view.getUint8(at) },
  9: { name: 'int8', sizeBytes: 1, storage: 'int32', read: (view, at) => view.getInt8(at) },
  11: { name: 'int16', sizeBytes: 2, storage: 'int32', read: (view, at) => view.getInt16(at) },
  12: { name: 'int32', sizeBytes: 4, storage: 'int32', read: (view, at) => view.getInt32(at) },
  13: { name: 'float32', sizeBytes: 4, storage: 'float32', read: (view, at) => view.getFloat32(at) },
  14: { name: 'float64', sizeBytes: 8, storage: 'float32', read: (view, at) => view.getFloat64(at) },
};

const MAGIC_BYTES = 4;
const MAX_DIMENSIONS = 8;

export interface IdxFile {
  readonly file: string;
  readonly type: IdxType;
  /** The first is the number of samples. */
  readonly dimensions: readonly number[];
  /** Samples [first, first + count) in the storage type, little-endian. */
  read(first: number, count: number): Promise<Uint8Array>;
}

/** @throws CoordError DATASET_INVALID when header and size are not those of one whole IDX file. */
export async function openIdx(file: string): Promise<IdxFile> {
  const bytes = await openByteFile(file);
  const { type, rank } = await readMagic(bytes);
  const dimensions = await readDimensions(bytes, rank);
  const headerBytes = MAGIC_BYTES + 4 * rank;
  checkSize(bytes, headerBytes, dimensions, type);
  const sampleBytes = elementsOf(dimensions.slice(1)) * type.sizeBytes;
  return {
    file,
    type,
    dimensions,
    async read(first, count) {
      const offsetBytes = headerBytes + first * sampleBytes;
      return toStorage(file, type, await bytes.read(offsetBytes, count * sampleBytes), offsetBytes);
    },
  };
}

async function readMagic(bytes: ByteFile): Promise<{ type: IdxType; rank: number }> {
  const { file } = bytes;
  if (bytes.sizeBytes < MAGIC_BYTES) {
    const found = bytes.sizeBytes === 0 ? 'an empty file' : `a file of ${bytes.sizeBytes} bytes`;
    throw invalidData({ file, offsetBytes: 0 }, `expected an IDX header, found ${found}`);
  }
  const [zero0, zero1, code, rank] = await bytes.read(0, MAGIC_BYTES);
  if (zero0 !== 0 || zero1 !== 0) {
    const found = [zero0, zero1].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    throw invalidData({ file, offsetBytes: 0 }, `expected the IDX magic number's two zero bytes, found ${found}`, {
      hint: 'Is this an IDX file?',
    });
  }
  const type = IDX_TYPES[code];
  if (!type) throw invalidData({ file, offsetBytes: 2 }, `expected an IDX element type (${typeList()}), found ${code}`);
  if (rank < 1 || rank > MAX_DIMENSIONS) {
    throw invalidData({ file, offsetBytes: 3 }, `expected 1 to ${MAX_DIMENSIONS} dimensions, found ${rank}`);
  }
  return { type, rank };
}

const typeList = (): string =>
  Object.entries(IDX_TYPES)
    .map(([code, type]) => `${code} ${type.name}`)
    .join(', ');

async function readDimensions({ file, sizeBytes, read }: ByteFile, rank: number): Promise<number[]> {
  if (sizeBytes < MAGIC_BYTES + 4 * rank) {
    throw invalidData({ file, offsetBytes: sizeBytes }, `the file ends inside the header of ${rank} dimensions`);
  }
  const view = viewOver(await read(MAGIC_BYTES, 4 * rank));
  return Array.from({ length: rank }, (_, axis) => {
    const size = view.getUint32(4 * axis);
    if (size > 0) return size;
    const what = axis === 0 ? 'number of samples' : `size of dimension ${axis}`;
    throw invalidData({ file, offsetBytes: MAGIC_BYTES + 4 * axis }, `expected a ${what} of at least 1, found 0`);
  });
}

function checkSize(
  { file, sizeBytes }: ByteFile,
  headerBytes: number,
  dimensions: readonly number[],
  type: IdxType,
): void {
  const expectedBytes = headerBytes + elementsOf(dimensions) * type.sizeBytes;
  if (sizeBytes === expectedBytes) return;
  const says = `the header says ${dimensions.join(' × ')} ${type.name}, ${expectedBytes} bytes with the header`;
  const problem =
    sizeBytes < expectedBytes
      ? `${says}, but the file ends after ${sizeBytes}; it is truncated`
      : `${says}, but ${sizeBytes - expectedBytes} more bytes follow`;
  throw invalidData({ file, offsetBytes: Math.min(sizeBytes, expectedBytes) }, problem, {
    hint: 'Fetch the file again.',
  });
}

const viewOver = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function toStorage(file: string, type: IdxType, bytes: Uint8Array, offsetBytes: number): Uint8Array {
  if (type.storage === 'uint8') return bytes;
  const view = viewOver(bytes);
  const length = bytes.byteLength / type.sizeBytes;
  const out = type.storage === 'int32' ? new Int32Array(length) : new Float32Array(length);
  for (let index = 0; index < length; index++) {
    out[index] = type.read(view, index * type.sizeBytes);
    if (Number.isFinite(out[index])) continue;
    const at = offsetBytes + index * type.sizeBytes;
    throw invalidData(
      { file, offsetBytes: at },
      `expected a finite float32 number, found ${type.read(view, index * type.sizeBytes)}`,
    );
  }
  return bytesOf(out);
}
