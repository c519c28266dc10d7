/**
 * Training state: all that decides the rest of the run. It carries its step number, so recovery is always
 * "copy from whoever has the highest step".
 */
import { createHash, type Hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { sha256Schema } from './dataset.js';
import { type Layout, viewOf } from './layout.js';
import { LIMITS } from './limits.js';

export interface TrainingState {
  /** Optimizer updates completed. */
  readonly step: number;
  readonly layout: Layout;
  /** Flat, `layout.totalSize` elements. */
  readonly weights: Float32Array;
  /** The optimizer's slots by name, each flat like the weights. */
  readonly slots: ReadonlyMap<string, Float32Array>;
  /** Largest exponent of any grain's gradient in the step before, a block each: the next step's quanta come from them. */
  readonly exponents: Uint8Array;
}

export const parameterSpecSchema = z.object({
  name: z.string().min(1).max(LIMITS.nameLength),
  shape: z.array(z.number().int().min(0)).max(8),
  role: z.enum(['trainable', 'statistic']),
});

/** What precedes a state's bytes on a link: weights, then the slots in this order, then the exponents. */
export const stateHeaderSchema = z.object({
  step: z.number().int().min(0),
  parameters: z.array(parameterSpecSchema).min(1).max(100_000),
  slots: z.array(z.string().min(1).max(64)).max(8),
  weightsSha256: sha256Schema,
  stateSha256: sha256Schema,
});
export type StateHeader = z.infer<typeof stateHeaderSchema>;

const bytesOf = (array: Float32Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** The state's bytes as a list of views, in the order in which they travel and are hashed. */
export function stateSections(state: TrainingState): Uint8Array[] {
  return [bytesOf(state.weights), ...[...state.slots.values()].map(bytesOf), bytesOf(state.exponents)];
}

/** SHA-256 of the parameters' values in layout order, without padding: what `weightsSha256` means everywhere. */
export function hashWeights(layout: Layout, weights: Float32Array): string {
  const hash = createHash('sha256');
  for (const parameter of layout.parameters) hash.update(bytesOf(viewOf(parameter, weights)));
  return hash.digest('hex');
}

export function hashState(state: TrainingState): string {
  const hash = createHash('sha256').update(`step ${state.step}\n`);
  for (const section of stateSections(state)) hash.update(section);
  return hash.digest('hex');
}

export function headerOf(state: TrainingState): StateHeader {
  return { ...shapeOf(state), weightsSha256: hashWeights(state.layout, state.weights), stateSha256: hashState(state) };
}

const shapeOf = ({ step, layout, slots }: TrainingState) => ({
  step,
  parameters: layout.parameters.map(({ name, shape, role }) => ({ name, shape: [...shape], role })),
  slots: [...slots.keys()],
});

/** What is hashed in one go: two milliseconds of a processor, and several times that on a busy machine. */
const SLICE_BYTES = 2 * 1024 * 1024;

/**
 * As `headerOf`, with pauses: a state of hundreds of megabytes must not keep a thread from its heartbeats. Nobody may change the
 * state meanwhile.
 */
export async function headerOfGradually(state: TrainingState): Promise<StateHeader> {
  const weightsSha256 = await hashWeightsGradually(state.layout, state.weights);
  const hash = createHash('sha256').update(`step ${state.step}\n`);
  return { ...shapeOf(state), weightsSha256, stateSha256: await digestGradually(hash, stateSections(state)) };
}

/** As `hashWeights`, with pauses. */
export function hashWeightsGradually(layout: Layout, weights: Float32Array): Promise<string> {
  const parts = layout.parameters.map((parameter) => bytesOf(viewOf(parameter, weights)));
  return digestGradually(createHash('sha256'), parts);
}

async function digestGradually(hash: Hash, parts: readonly Uint8Array[]): Promise<string> {
  let sinceBytes = 0;
  for (const part of parts) {
    for (let at = 0; at < part.byteLength; at += SLICE_BYTES) {
      const slice = part.subarray(at, at + SLICE_BYTES);
      hash.update(slice);
      sinceBytes += slice.byteLength;
      if (sinceBytes < SLICE_BYTES) continue;
      sinceBytes = 0;
      await setImmediate();
    }
  }
  return hash.digest('hex');
}
