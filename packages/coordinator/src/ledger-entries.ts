/** What a ledger line can say. Everything that proves the run stands here: who took part, what each step came to. */
import { numericIdentitySchema, sha256Schema } from '@coord/protocol';
import { z } from 'zod';
import { TOKEN_ROLES } from './access/token-record.js';

const step = z.number().int().min(0);
const epoch = z.number().int().min(0);
const name = z.string();
const number = z.number().nullable();
const metrics = {
  loss: number,
  accuracy: number,
  samples: z.number().min(0),
  /** The run's further metrics by their keys; absent in ledgers of earlier versions. */
  metrics: z.record(name, z.union([number, z.array(z.array(z.number()).readonly()).readonly()])).default({}),
};

export const ledgerEntrySchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('run-started'),
    runId: name,
    configSha256: sha256Schema,
    /** Step and weights that this start begins from: 0 for a new run, the checkpoint's for a resumed one. */
    step,
    weightsSha256: sha256Schema,
  }),
  z.object({
    type: z.literal('worker-joined'),
    workerId: name,
    name,
    hostName: name,
    pid: z.number().int().optional(),
    remote: name,
    /** What its id was before it lost its coordinator; undefined for a newcomer. */
    returns: name.optional(),
    /** Of the token that it joined with. */
    tokenId: name.optional(),
  }),
  z.object({
    type: z.literal('token-created'),
    tokenId: name,
    name,
    role: z.enum(TOKEN_ROLES),
    expiresAt: name.optional(),
  }),
  /** At once, or at `expiresAt` where it was given time. */
  z.object({
    type: z.literal('token-revoked'),
    tokenId: name,
    name,
    expiresAt: name.optional(),
    /** Workers that were sent away with it. */
    disconnected: z.number().int().min(0),
  }),
  z.object({ type: z.literal('worker-ready'), workerId: name, identity: numericIdentitySchema, share: z.number() }),
  z.object({ type: z.literal('worker-left'), workerId: name, reason: name }),
  z.object({ type: z.literal('worker-lost'), workerId: name, reason: name }),
  z.object({ type: z.literal('worker-diverged'), workerId: name, step, weightsSha256: name, majoritySha256: name }),
  /** The first completed step of a view that came after another, and what the change took, in milliseconds. */
  z.object({
    type: z.literal('recovered'),
    generation: z.number().int().min(1),
    step,
    totalMs: z.number(),
    unheardMs: z.number().nullable(),
    viewMs: z.number(),
    ringMs: z.number(),
    syncMs: z.number(),
    grainsMs: z.number(),
    stepMs: z.number(),
  }),
  /** It has copied the state of the majority, and goes on. */
  z.object({
    type: z.literal('worker-repaired'),
    workerId: name,
    step,
    /** False: its weights had changed in memory; true: its update itself came out otherwise. */
    isIntact: z.boolean(),
    /** What differed, and in how many elements. */
    arrays: z.array(z.object({ name, count: z.number().int().min(1) })),
  }),
  /** Replicas differed after this step without a majority: all go back to the state of `startsFrom`. */
  z.object({
    type: z.literal('replicas-split'),
    step,
    opinions: z.array(z.object({ workerId: name, weightsSha256: name })),
    startsFrom: step,
  }),
  z.object({
    type: z.literal('view'),
    generation: z.number().int().min(1),
    members: z.array(z.object({ workerId: name, share: z.number() })),
    reason: name,
  }),
  /** Nobody holds the steps after `step` any more: they are computed again. */
  z.object({ type: z.literal('rewound'), step, reason: name }),
  /** These steps were completed, but whoever completed them was gone before its report arrived. */
  z.object({ type: z.literal('unreported'), firstStep: step, lastStep: step }),
  z.object({
    type: z.literal('step'),
    step,
    epoch,
    generation: z.number().int().min(1),
    weightsSha256: sha256Schema,
    ...metrics,
    /** The update was left out because its gradient was not finite. */
    skipped: z.boolean(),
  }),
  z.object({ type: z.literal('evaluation'), step, epoch, ...metrics }),
  z.object({ type: z.literal('checkpoint'), step, weightsSha256: sha256Schema, path: name }),
  z.object({ type: z.literal('stopped'), reason: name }),
  z.object({ type: z.literal('failed'), code: name, message: name }),
  z.object({ type: z.literal('finished'), step, epoch, weightsSha256: sha256Schema, stopped: z.boolean() }),
]);
export type LedgerEntry = z.infer<typeof ledgerEntrySchema>;
export type LedgerEntryOf<T extends LedgerEntry['type']> = Extract<LedgerEntry, { type: T }>;

/** Number and time are the writer's affair; the rest is the entry. */
export const ledgerRecordSchema = z.object({
  /** Line number in the file, from 1. */
  seq: z.number().int().min(1),
  /** ISO 8601, UTC. For people: nothing depends on it. */
  time: z.string(),
  entry: ledgerEntrySchema,
});
export type LedgerRecord = z.infer<typeof ledgerRecordSchema>;
