/**
 * Flight record: the last events of one worker, kept in memory and written when something goes wrong. One JSON object a line:
 * first a header, then the events, oldest first. Times are the worker's own monotonic clock, in ms; the header says how to
 * turn them into the coordinator's.
 */
import { z } from 'zod';
import { LIMITS } from './limits.js';
import { PHASES, phaseTimesSchema, RING_OPERATIONS } from './messages.js';

const count = z.number().int().min(0);
/** Beyond all clocks; what is computed from two such times is a number still. */
const MAX_MS = 1e15;
const atMs = z.number().min(-MAX_MS).max(MAX_MS);
const name = z.string().min(1).max(LIMITS.nameLength);

/** How far another clock is ahead of one's own, by the exchange with the shortest round trip; wrong by half of it at most. */
export const clockOffsetSchema = z.object({ offsetMs: atMs, roundTripMs: z.number().min(0).max(MAX_MS) });
export type ClockOffset = z.infer<typeof clockOffsetSchema>;

export const flightHeaderSchema = z.object({
  kind: z.literal('header'),
  formatVersion: z.literal(1),
  runId: name,
  workerId: name,
  name,
  hostName: name,
  pid: z.number().int(),
  /** Added to a time of this record, gives the coordinator's wall clock (ms since 1970); null when it was never heard. */
  clock: clockOffsetSchema.nullable(),
  /** Events that were overwritten by newer ones. */
  dropped: count,
});
export type FlightHeader = z.infer<typeof flightHeaderSchema>;

export const flightEventSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('phase'), atMs, phase: z.enum(PHASES), step: count, generation: count }),
  z.object({ kind: z.literal('view'), atMs, generation: count, rank: count, members: z.array(name) }),
  z.object({
    kind: z.literal('ring'),
    atMs,
    edge: z.enum(['begin', 'end', 'failed']),
    operation: z.enum(RING_OPERATIONS),
    /** Number of the operation in its view, from 0. */
    sequence: count,
    generation: count,
    sizeBytes: count,
    /** Of an operation that has ended: for how long a peer had not begun, while no bytes came. */
    waitedMs: z.number().min(0).optional(),
  }),
  z.object({ kind: z.literal('step'), atMs, step: count, times: phaseTimesSchema }),
  z.object({ kind: z.literal('failure'), atMs, step: count, generation: count, code: name, message: z.string() }),
]);
export type FlightEvent = z.infer<typeof flightEventSchema>;
