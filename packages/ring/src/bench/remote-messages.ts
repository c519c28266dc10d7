/**
 * What the machine that leads a bench and those that join it say to each other: challenge → hello → welcome, then commands and
 * their answers, one at a time. The token is never sent, and neither is the key of the ranks' links: both ends derive it.
 */
import {
  CoordError,
  decodeMessage,
  encodeMessage,
  isKeyedProof,
  keyedProof,
  LIMITS,
  socketEndpointSchema,
  WIRE_FORMATS,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import { z } from 'zod';
import { SCHEDULES } from './rank-service.js';

export const BENCH_PATH = '/bench';
/** What one machine makes another one allocate, and for how long it keeps it busy. */
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_ITERATIONS = 100_000;
export const MOST_RANKS = 256;

const nonce = z.string().min(16).max(128);
const count = z.number().int().min(0);
const text = z.string().max(LIMITS.textLength);

export const challengeSchema = z.object({ type: z.literal('bench-challenge'), nonce });
export const helloSchema = z.object({ type: z.literal('bench-hello'), nonce, proof: nonce });
const refusedSchema = z.object({ type: z.literal('bench-refused'), message: text });
export const welcomeSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('bench-welcome'), proof: nonce }),
  refusedSchema,
]);

/** A joined machine may be told to hold several ranks, one for each wire format; `id` says which. */
export const commandSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('start'),
    id: count,
    rank: count.max(MOST_RANKS),
    ranks: count.min(1).max(MOST_RANKS),
    maxBytes: count.min(4).max(MAX_BYTES),
    wire: z.enum(WIRE_FORMATS),
    schedule: z.enum(SCHEDULES).optional(),
    tls: z.boolean().optional(),
  }),
  z.object({
    type: z.literal('link'),
    id: count,
    endpoints: z.array(socketEndpointSchema).max(MOST_RANKS),
    keyNonce: nonce,
  }),
  z.object({
    type: z.literal('time'),
    id: count,
    bytes: count.min(4).max(MAX_BYTES),
    iterations: count.max(MAX_ITERATIONS),
  }),
  z.object({ type: z.literal('stop'), id: count }),
  z.object({ type: z.literal('goodbye') }),
]);
export type BenchCommand = z.infer<typeof commandSchema>;

export const timingSchema = z.object({ ms: z.array(z.number()).max(MAX_ITERATIONS), wrong: count });
export const answerSchema = z.union([
  z.object({ endpoint: socketEndpointSchema }),
  timingSchema,
  z.object({ error: z.object({ code: text, message: text }) }),
  z.strictObject({}),
]);

export type BenchMessage =
  | z.infer<typeof challengeSchema>
  | z.infer<typeof helloSchema>
  | z.infer<typeof welcomeSchema>
  | BenchCommand
  | z.infer<typeof answerSchema>;

export interface BenchNonces {
  readonly lead: string;
  readonly joined: string;
}

type Prover = 'lead' | 'joined';
const partsOf = (prover: Prover, { lead, joined }: BenchNonces) => ['coord bench', prover, lead, joined];

export const benchProof = (token: string, prover: Prover, nonces: BenchNonces): string =>
  keyedProof(token, partsOf(prover, nonces));

/** @throws CoordError TOKEN_WRONG */
export function requireBenchProof(
  proof: string,
  token: string,
  prover: Prover,
  nonces: BenchNonces,
  remote: string,
): void {
  if (isKeyedProof(proof, token, partsOf(prover, nonces))) return;
  throw new CoordError('TOKEN_WRONG', `${remote} does not know the token of this bench`, {
    hint: 'Copy the whole `coord bench allreduce --join …` line that the leading machine printed.',
    facts: { remote },
  });
}

/** Key of the links between the ranks. */
export const linkKeyOf = (token: string, keyNonce: string): string =>
  keyedProof(token, ['coord bench links', keyNonce]);

export const tell = (link: Link, message: BenchMessage): Promise<void> => link.send(encodeMessage(message));

/** @throws CoordError LINK_CLOSED, MESSAGE_INVALID, FRAME_INVALID, FRAME_TOO_LARGE. */
export async function hear<S extends z.ZodType>(link: Link, schema: S, limitBytes?: number): Promise<z.infer<S>> {
  return decodeMessage(schema, await link.receive(), { from: link.remote, limitBytes });
}
