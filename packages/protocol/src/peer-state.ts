/** What hosts say to each other about their training state, once they have proved who they are. */
import { z } from 'zod';
import { sha256Schema } from './dataset.js';

const step = z.number().int().min(0);
const bytes: z.ZodType<Uint8Array> = z.instanceof(Uint8Array);

export const stateRequestSchema = z.discriminatedUnion('type', [
  /** Bytes [start, end) of the state as it is after `step`, now or when that step is complete. */
  z.object({ type: z.literal('copy'), step, start: step, end: step }),
  /** Every update from now on. */
  z.object({ type: z.literal('follow') }),
]);
export type StateRequest = z.infer<typeof stateRequestSchema>;

export const stateReplySchema = z.discriminatedUnion('type', [
  /** The state has gone on already, to this step. */
  z.object({ type: z.literal('refused'), step }),
  /** Pieces of the copy follow. */
  z.object({ type: z.literal('copy-begin'), step, weightsSha256: sha256Schema, checkNumber: z.number().int().min(0) }),
  /** Updates after this step will follow. */
  z.object({ type: z.literal('following'), step }),
  /** What an update was made of follows in pieces: mean gradient, exponents. */
  z.object({
    type: z.literal('update-begin'),
    /** Updates completed, this one included. */
    step,
    /** Left out, because its gradient was not finite. */
    skipped: z.boolean(),
    /** Of the weights that it led to. */
    weightsSha256: sha256Schema,
  }),
  z.object({ type: z.literal('piece'), data: bytes }),
  z.object({ type: z.literal('end') }),
]);
export type StateReply = z.infer<typeof stateReplySchema>;
export type StateReplyOf<T extends StateReply['type']> = Extract<StateReply, { type: T }>;
