/** From sample numbers to a batch: which blocks, where in them, decoded to what the model sees. */
import { type Batch, CoordError, type DatasetManifest, type Field, type Split, STORAGE_BYTES } from '@coord/protocol';
import { checkSplit, fieldOffsets } from './blocks.js';
import { elementsOf } from './sources/source.js';

export interface BatchReader {
  readonly samples: number;
  /**
   * The samples in the order given, one array a field, the batch axis first: value × scale + offset.
   * @throws CoordError BLOCK_CORRUPT when a block has another size than the manifest says, and whatever `blocks.get`
   *   rejects with; RangeError when a number is not a sample of the split.
   */
  read(samples: readonly number[]): Promise<Batch>;
}

export interface BlockSource {
  get(sha256: string): Promise<Uint8Array>;
}

type Values = Float32Array | Int32Array;
type Decode = (block: Uint8Array, offsetBytes: number, out: Values, at: number) => void;

/** @throws CoordError DATASET_INVALID when the manifest has no such split or its numbers contradict each other. */
export function createBatchReader(
  manifest: DatasetManifest,
  split: 'train' | 'test',
  blocks: BlockSource,
): BatchReader {
  const chosen = manifest[split];
  if (!chosen) {
    throw new CoordError('DATASET_INVALID', `dataset ${manifest.name} has no ${split} split`, { facts: { split } });
  }
  checkSplit(split, chosen, manifest.fields);
  return new SplitReader(split, chosen, manifest.fields, blocks);
}

interface OpenBlock {
  readonly bytes: Uint8Array;
  /** Where each field's values begin. */
  readonly offsets: readonly number[];
}

class SplitReader implements BatchReader {
  readonly samples: number;
  readonly #readers: readonly FieldReader[];

  constructor(
    private readonly name: string,
    private readonly split: Split,
    private readonly fields: readonly Field[],
    private readonly blocks: BlockSource,
  ) {
    this.samples = split.samples;
    this.#readers = fields.map(fieldReader);
  }

  async read(samples: readonly number[]): Promise<Batch> {
    for (const sample of samples) checkSample(sample, this.samples, this.name);
    const opened = await this.#open(new Set(samples.map((sample) => this.#blockOf(sample))));
    const arrays = this.fields.map((_, field) => this.#decode(field, samples, opened));
    const ofRole = (role: Field['role']) => arrays.filter((_, field) => this.fields[field].role === role);
    const [sampleWeights] = ofRole('weight') as Float32Array[];
    const batch = { count: samples.length, inputs: ofRole('input'), targets: ofRole('target') };
    return sampleWeights ? { ...batch, sampleWeights } : batch;
  }

  #blockOf(sample: number): number {
    return Math.floor(sample / this.split.samplesPerBlock);
  }

  async #open(wanted: ReadonlySet<number>): Promise<ReadonlyMap<number, OpenBlock>> {
    return new Map(await Promise.all([...wanted].map(async (block) => [block, await this.#openOne(block)] as const)));
  }

  async #openOne(block: number): Promise<OpenBlock> {
    const info = this.split.blocks[block];
    const bytes = await this.blocks.get(info.sha256);
    checkBlock(info.sha256, bytes, info.bytes);
    return { bytes, offsets: fieldOffsets(this.fields, info.samples) };
  }

  #decode(field: number, samples: readonly number[], opened: ReadonlyMap<number, OpenBlock>): Values {
    const reader = this.#readers[field];
    const out = reader.allocate(samples.length);
    samples.forEach((sample, row) => {
      const block = this.#blockOf(sample);
      const { bytes, offsets } = opened.get(block)!;
      reader.read(bytes, offsets[field], sample - block * this.split.samplesPerBlock, out, row);
    });
    return out;
  }
}

function checkSample(sample: number, samples: number, split: string): void {
  if (Number.isInteger(sample) && sample >= 0 && sample < samples) return;
  throw new RangeError(`sample ${sample} is not in the ${split} split of ${samples} samples`);
}

function checkBlock(sha256: string, bytes: Uint8Array, expectedBytes: number): void {
  if (bytes.byteLength === expectedBytes) return;
  const message = `block ${sha256} has ${bytes.byteLength} bytes; the manifest says ${expectedBytes}`;
  throw new CoordError('BLOCK_CORRUPT', message, { facts: { sha256, sizeBytes: bytes.byteLength, expectedBytes } });
}

interface FieldReader {
  allocate(count: number): Values;
  /** Decodes sample `sample` of a block, whose field begins at `offsetBytes`, to row `row` of `out`. */
  read(block: Uint8Array, offsetBytes: number, sample: number, out: Values, row: number): void;
}

function fieldReader(field: Field): FieldReader {
  const elements = elementsOf(field.shape);
  const strideBytes = elements * STORAGE_BYTES[field.storage];
  const decode = field.storage === 'uint8' ? byteDecoder(field, elements) : wordDecoder(field, elements);
  return {
    allocate: (count) =>
      field.dtype === 'float32' ? new Float32Array(count * elements) : new Int32Array(count * elements),
    read(block, offsetBytes, sample, out, row) {
      decode(block, offsetBytes + sample * strideBytes, out, row * elements);
    },
  };
}

/** A byte has 256 values, so they are scaled beforehand. */
function byteDecoder({ scale, offset }: Field, elements: number): Decode {
  const decoded = Float64Array.from({ length: 256 }, (_, byte) => byte * scale + offset);
  return (block, offsetBytes, out, at) => {
    for (let index = 0; index < elements; index++) out[at + index] = decoded[block[offsetBytes + index]];
  };
}

/** Through a DataView: after a field of bytes, words may begin anywhere. */
function wordDecoder({ storage, scale, offset }: Field, elements: number): Decode {
  return (block, offsetBytes, out, at) => {
    const view = new DataView(block.buffer, block.byteOffset + offsetBytes, elements * 4);
    for (let index = 0; index < elements; index++) {
      const stored = storage === 'int32' ? view.getInt32(index * 4, true) : view.getFloat32(index * 4, true);
      out[at + index] = stored * scale + offset;
    }
  };
}
