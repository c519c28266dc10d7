/**
 * Dataset manifest: what workers need to know to fetch, verify and decode samples. Blocks are named by their content's hash.
 *
 * A block of n samples holds, for each field in manifest order, n × (elements of a sample) values of the field's storage
 * type, little-endian, without gaps.
 */
import { z } from 'zod';
import { LIMITS } from './limits.js';

export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits');

export const STORAGE_BYTES = { uint8: 1, int32: 4, float32: 4 } as const;

export const fieldSchema = z.object({
  name: z.string().min(1).max(LIMITS.nameLength),
  /** `weight`: factor of the sample's loss; a scalar, at most one field. */
  role: z.enum(['input', 'target', 'weight']),
  /** Shape of one sample, without the batch axis; [] is a scalar. */
  shape: z.array(z.number().int().min(1)).max(8),
  storage: z.enum(['uint8', 'int32', 'float32']),
  /** What the model sees: stored value × scale + offset. */
  dtype: z.enum(['float32', 'int32']),
  scale: z.number().default(1),
  offset: z.number().default(0),
  /** Number of classes where the field is a label and its source tells it apart from that of the dataset. */
  classes: z.number().int().min(2).optional(),
});
export type Field = z.infer<typeof fieldSchema>;

export const blockSchema = z.object({
  sha256: sha256Schema,
  samples: z.number().int().min(1),
  bytes: z.number().int().min(1).max(LIMITS.blockBytes),
});
export type BlockInfo = z.infer<typeof blockSchema>;

export const splitSchema = z.object({
  samples: z.number().int().min(1),
  /** Samples of every block but the last, which may hold fewer. */
  samplesPerBlock: z.number().int().min(1),
  blocks: z.array(blockSchema).min(1).max(LIMITS.blocks),
});
export type Split = z.infer<typeof splitSchema>;

export const datasetManifestSchema = z.object({
  name: z.string().min(1).max(LIMITS.nameLength),
  fields: z.array(fieldSchema).min(1).max(64),
  /** Number of classes of the target where it is a label. */
  classes: z.number().int().min(2).optional(),
  train: splitSchema,
  test: splitSchema.optional(),
});
export type DatasetManifest = z.infer<typeof datasetManifestSchema>;

/** Samples of one grain, decoded: one array a field, `count` samples each, the batch axis first. */
export interface Batch {
  readonly count: number;
  readonly inputs: readonly (Float32Array | Int32Array)[];
  readonly targets: readonly (Float32Array | Int32Array)[];
  /** Factor of each sample's loss; left out where all are 1. */
  readonly sampleWeights?: Float32Array;
}
