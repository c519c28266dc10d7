/**
 * The safetensors format (huggingface/safetensors, README "Format"): the header's length as a little-endian uint64, the header
 * as JSON (name → dtype, shape, place in the data), then the data of all tensors without gaps. Little-endian throughout, as
 * is every machine that Node runs on in practice.
 */
import { errorText } from '@coord/disk';
import { z } from 'zod';
import { corrupt } from './corrupt.js';

const DTYPE_BYTES = { F32: 4, U8: 1 } as const;
export type Dtype = keyof typeof DTYPE_BYTES;

export interface Tensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The values as they lie in memory and in the file: a view, not a copy. */
  readonly bytes: Uint8Array;
}

const LENGTH_BYTES = 8;
/** The header ends at a multiple of this, so that a reader can map the tensors in place. */
const ALIGN_BYTES = 8;
/** The limit of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = '__metadata__';

const headerSchema = z.record(
  z.string(),
  z.strictObject({
    dtype: z.string(),
    shape: z.array(z.number().int().min(0)).max(64),
    data_offsets: z.tuple([z.number().int().min(0), z.number().int().min(0)]),
  }),
);
type Entry = z.infer<typeof headerSchema>[string];

/**
 * The bytes of a safetensors file, as views in file order.
 * @throws RangeError when two tensors share a name or one has the reserved name.
 */
export function encodeSafetensors(
  tensors: readonly Tensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const names = new Set([METADATA, ...tensors.map(({ name }) => name)]);
  if (names.size !== tensors.length + 1) throw new RangeError('two tensors share a name, or one is __metadata__');
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }): [string, Entry] => {
    const begin = end;
    end += bytes.byteLength;
    return [name, { dtype, shape: [...shape], data_offsets: [begin, end] }];
  });
  const header = JSON.stringify(Object.fromEntries([[METADATA, metadata], ...entries]));
  return [...headerBytes(header), ...tensors.map(({ bytes }) => bytes)];
}

function headerBytes(header: string): Uint8Array[] {
  const text = Buffer.from(header);
  const padding = (ALIGN_BYTES - (text.length % ALIGN_BYTES)) % ALIGN_BYTES;
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(text.length + padding));
  return [length, text, Buffer.alloc(padding, ' ')];
}

/**
 * Reads a whole file's bytes. Every length, offset, dtype and shape is checked before it is used.
 * @param file its name, for the error.
 * @returns the tensors by name, as views of `content`.
 * @throws CoordError CHECKPOINT_CORRUPT
 */
export function decodeSafetensors(content: Uint8Array, file: string): Map<string, Tensor> {
  const { header, dataStart } = splitHeader(content, file);
  const data = content.subarray(dataStart);
  const entries = Object.entries(header).sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  const tensors = new Map<string, Tensor>();
  let end = 0;
  for (const [name, entry] of entries) {
    tensors.set(name, readTensor(name, entry, end, data, file));
    end = entry.data_offsets[1];
  }
  if (end !== data.length) throw corrupt(file, `its tensors end at data byte ${end}, the file at ${data.length}`);
  return tensors;
}

function splitHeader(content: Uint8Array, file: string) {
  if (content.length < LENGTH_BYTES)
    throw corrupt(file, `it ends inside the header's length, after byte ${content.length}`);
  const length = Number(new DataView(content.buffer, content.byteOffset).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + length;
  if (length > MAX_HEADER_BYTES || dataStart > content.length) {
    throw corrupt(file, `bytes 0–7 announce a header of ${length} bytes; the file has ${content.length} bytes`);
  }
  return { header: parseHeader(content.subarray(LENGTH_BYTES, dataStart), file), dataStart };
}

function parseHeader(bytes: Uint8Array, file: string): z.infer<typeof headerSchema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw corrupt(file, `the header (bytes 8–${7 + bytes.length}) is no JSON: ${errorText(cause)}`, cause);
  }
  if (value instanceof Object) Reflect.deleteProperty(value, METADATA);
  const result = headerSchema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw corrupt(file, `its header is wrong at ${path.join('.') || 'the top'}: ${message}`);
}

/** @param expectedBegin where the tensor before it ended: the format allows neither holes nor overlaps. */
function readTensor(name: string, entry: Entry, expectedBegin: number, data: Uint8Array, file: string): Tensor {
  const { dtype, shape } = entry;
  const [begin, end] = entry.data_offsets;
  const wrong = (problem: string) => corrupt(file, `tensor ${name} ${problem}`);
  if (!isDtype(dtype))
    throw wrong(`has dtype ${dtype}; only ${Object.keys(DTYPE_BYTES).join(' and ')} occur in checkpoints`);
  if (begin !== expectedBegin) {
    throw wrong(
      `begins at data byte ${begin}, ${begin < expectedBegin ? 'inside' : 'behind'} the one before it, which ends at ${expectedBegin}`,
    );
  }
  const sizeBytes = shape.reduce((product, extent) => product * extent, DTYPE_BYTES[dtype]);
  if (end - begin !== sizeBytes) {
    throw wrong(`of shape [${shape.join(', ')}] needs ${sizeBytes} bytes, but has data bytes ${begin}–${end}`);
  }
  if (end > data.length) throw wrong(`ends at data byte ${end}, the file at ${data.length}`);
  return { name, dtype, shape, bytes: data.subarray(begin, end) };
}

const isDtype = (text: string): text is Dtype => Object.hasOwn(DTYPE_BYTES, text);
