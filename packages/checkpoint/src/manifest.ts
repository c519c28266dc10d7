/** `manifest.json`: what a checkpoint is of, and the hash of every byte in it, its own included. */
import { createHash } from 'node:crypto';
import { errorText } from '@coord/disk';
import { CoordError, sha256Schema, stateHeaderSchema } from '@coord/protocol';
import { z } from 'zod';
import { corrupt } from './corrupt.js';

export const FORMAT_VERSION = 1;

export const FILE_NAMES = { weights: 'weights.safetensors', optimizer: 'optimizer.safetensors' } as const;
export const MANIFEST_NAME = 'manifest.json';

const count = z.number().int().min(0);
const fileSchema = z.strictObject({ bytes: count, sha256: sha256Schema });

const manifestSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  runId: z.string().min(1),
  /** Epoch in progress, and the next position in its sample order. */
  epoch: count,
  position: count,
  seed: count,
  configSha256: sha256Schema,
  /** The configuration as the user gave it, for people. */
  config: z.unknown().optional(),
  /** step, parameters (name, shape, role), slots, weightsSha256, stateSha256: as in the state's header on a link. */
  ...stateHeaderSchema.shape,
  files: z.strictObject({ [FILE_NAMES.weights]: fileSchema, [FILE_NAMES.optimizer]: fileSchema }),
  /** SHA-256 of this manifest without this entry, as JSON without white space. */
  manifestSha256: sha256Schema,
});
export type CheckpointManifest = z.infer<typeof manifestSchema>;
export type ManifestBody = Omit<CheckpointManifest, 'manifestSha256'>;

export function sealManifest(body: ManifestBody): CheckpointManifest {
  // Through JSON, so that what JSON drops (undefined, say) is dropped before it is hashed.
  const plain: ManifestBody = JSON.parse(JSON.stringify(body));
  return { ...plain, manifestSha256: hashOf(plain) };
}

export const manifestText = (manifest: CheckpointManifest): string => `${JSON.stringify(manifest, null, 2)}\n`;

const hashOf = (body: object): string => createHash('sha256').update(JSON.stringify(body)).digest('hex');

/**
 * @param file its name, for the error.
 * @throws CoordError CHECKPOINT_CORRUPT; CHECKPOINT_MISMATCH when another version of coord wrote it.
 */
export function parseManifest(content: Uint8Array, file: string): CheckpointManifest {
  const value = parseSealed(content, file);
  if (value.formatVersion !== FORMAT_VERSION) throw otherVersion(file, value.formatVersion);
  const result = manifestSchema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw corrupt(file, `it is wrong at ${path.join('.') || 'the top'}: ${message}`);
}

/** Any change to the text, white space included, is found: the same values have only one text. */
function parseSealed(content: Uint8Array, file: string): Record<string, unknown> {
  const text = Buffer.from(content).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw corrupt(file, `it is no JSON: ${errorText(cause)}`, cause);
  }
  if (!isRecord(value)) throw corrupt(file, 'it holds no JSON object');
  const { manifestSha256, ...body } = value;
  if (manifestSha256 === hashOf(body) && content.length === Buffer.byteLength(text)) {
    if (text === `${JSON.stringify(value, null, 2)}\n`) return value;
  }
  throw corrupt(file, 'its content does not fit its own manifestSha256: bytes have changed');
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function otherVersion(file: string, version: unknown): CoordError {
  return new CoordError(
    'CHECKPOINT_MISMATCH',
    `${file} has checkpoint format ${JSON.stringify(version)}; this coord reads format ${FORMAT_VERSION}`,
    { hint: 'Load it with the version of coord that wrote it.', facts: { file } },
  );
}
