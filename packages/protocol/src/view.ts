/** A view is one frozen membership: generation, ring order, grain shares. */
import { z } from 'zod';
import { LIMITS } from './limits.js';
import { nameSchema } from './printable.js';

export const endpointSchema = z.object({
  host: z.string().min(1).max(255),
  port: z.number().int().min(1).max(65535),
});
/** A listening socket. */
export type Endpoint = z.infer<typeof endpointSchema>;

/** 32 bytes: a key, a hash. */
const base64url32 = z.string().regex(/^[\w-]{43}$/);

/** A Unix-domain socket, for peers on the same machine. Its directory lies among the machine's temporary files. */
export const localSocketSchema = z.strictObject({
  machine: base64url32,
  /** A plain name: a peer that could send a path could make us speak to any socket of this machine. */
  directory: z.string().regex(/^coord-peer-[A-Za-z0-9]{6}$/),
});
export type LocalSocket = z.infer<typeof localSocketSchema>;

export const socketEndpointSchema = endpointSchema.extend({
  /** Fingerprint of the certificate that it shows: it is spoken to through TLS, and only if it shows this one. */
  certificateSha256: base64url32.optional(),
  localSocket: localSocketSchema.optional(),
});
export type SocketEndpoint = z.infer<typeof socketEndpointSchema>;

export const natsEndpointSchema = z.strictObject({
  /** Root of the host's own subjects; no wildcards, so that nobody's neighbour is everybody. */
  natsSubject: z
    .string()
    .max(255)
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/),
});
export type NatsEndpoint = z.infer<typeof natsEndpointSchema>;

/** Where a host is reached by its peers. */
export const peerEndpointSchema = z.union([socketEndpointSchema, natsEndpointSchema]);
export type PeerEndpoint = z.infer<typeof peerEndpointSchema>;

export const linkKeySchema = base64url32;

export const memberSchema = z.object({
  workerId: nameSchema,
  name: nameSchema,
  endpoint: peerEndpointSchema,
  /** Public half of what its links are authenticated with: X25519, 32 bytes in base64url. Without it nobody links to the host. */
  linkKey: linkKeySchema.optional(),
  /** Relative amount of grains; a positive integer. */
  share: z.number().int().min(1).max(1_000_000),
  /** Compute threads of the host. */
  workers: z.number().int().min(1).max(1024).default(1),
});
export type Member = z.infer<typeof memberSchema>;

export const viewSchema = z.object({
  runId: z.string().min(1).max(LIMITS.nameLength),
  generation: z.number().int().min(1),
  /** Ring order: the index is the rank. */
  members: z.array(memberSchema).min(1).max(LIMITS.members),
  /** Secret of this view's ring links, base64. */
  ringKey: z.string().min(16).max(128),
  reason: z.string().max(LIMITS.textLength),
});
export type View = z.infer<typeof viewSchema>;

export const rankOf = (view: View, workerId: string): number =>
  view.members.findIndex((member) => member.workerId === workerId);

/**
 * Splits `items` (grain numbers, in order) over ranks in proportion to `shares`: contiguous runs, largest remainders first,
 * ties broken by the lower distance from `rotation`, so that with fewer items than ranks the idle rank changes from step to step.
 *
 * @returns one list a rank; together they hold every item once.
 */
export function assignByShare<T>(items: readonly T[], shares: readonly number[], rotation: number): T[][] {
  const total = shares.reduce((sum, share) => sum + share, 0);
  const exact = shares.map((share) => (items.length * share) / total);
  const counts = exact.map(Math.floor);
  const missing = items.length - counts.reduce((sum, count) => sum + count, 0);
  const distance = (rank: number) => (rank - (rotation % shares.length) + shares.length) % shares.length;
  const byRemainder = shares
    .map((_, rank) => rank)
    .sort((a, b) => exact[b] - counts[b] - (exact[a] - counts[a]) || distance(a) - distance(b));
  for (const rank of byRemainder.slice(0, missing)) counts[rank]++;
  let next = 0;
  return counts.map((count) => {
    const mine = items.slice(next, next + count);
    next += count;
    return mine;
  });
}
