/**
 * Control messages between worker and coordinator. One message is one frame of a link. Every inbound message passes its
 * schema before anything else looks at it.
 *
 * A worker's life:
 *   coordinator: challenge       here is my nonce
 *   worker:      hello           this is me, and the proof that I know the token
 *   coordinator: welcome         here is my proof, your id and the run | refused
 *   worker:      ready           the engine is compiled; take me into the next view
 *   coordinator: view            the membership from now on (repeated whenever it changes)
 *   worker:      step-report …   after each step; heartbeat all the time
 *   coordinator: stop            end at the next step boundary
 *   worker:      finished | leaving | failed
 *
 * A worker that loses its coordinator trains on under the view in force and comes back: hello (with `returns`), welcome, ready,
 * then every report that is newer than the welcome's settledStep, and everything else as before.
 */
import { z } from 'zod';
import { sha256Schema } from './dataset.js';
import { numericIdentitySchema } from './identity.js';
import { LIMITS } from './limits.js';
import { MAX_TALLY_SIZE } from './metric-spec.js';
import { nameSchema, textSchema } from './printable.js';
import { runSpecSchema } from './run-spec.js';
import { stateHeaderSchema } from './state.js';
import { linkKeySchema, peerEndpointSchema, viewSchema } from './view.js';

/** Raised whenever an old and a new worker or coordinator would misunderstand each other. */
export const PROTOCOL_VERSION = 6;

const step = z.number().int().min(0);
const generation = z.number().int().min(0);
const name = nameSchema;
const text = textSchema;
const proof = z.string().min(16).max(128);
const bytes: z.ZodType<Uint8Array> = z.instanceof(Uint8Array);
/** What a worker that was called so was given in its welcome; nobody else has it. */
const returnKey = z.string().min(16).max(128);
const durationMs = z.number().min(0);

/** What a worker is doing; a heartbeat names it, and so does every complaint about a silent worker. */
export const PHASES = [
  'joining',
  'loading',
  'compiling',
  'waiting',
  'syncing',
  'compute',
  'ring',
  'optimizer',
  'evaluating',
  'finished',
] as const;
export type Phase = (typeof PHASES)[number];

export const RING_OPERATIONS = ['sum', 'max', 'gather'] as const;
export type RingOperation = (typeof RING_OPERATIONS)[number];

/** The ring operation that a worker is in, or its last one. */
export const ringActivitySchema = z.object({
  operation: z.enum(RING_OPERATIONS),
  /** Number of the operation in its view, from 0. */
  sequence: z.number().int().min(0),
  isDone: z.boolean(),
  /** Worker whose bytes it waits for; absent in a ring of one. */
  waitsFor: name.optional(),
});
export type RingActivity = z.infer<typeof ringActivitySchema>;

const metricsSchema = z.object({
  loss: z.number(),
  correct: z.number(),
  samples: z.number().min(0),
  tally: z.array(z.number()).max(MAX_TALLY_SIZE).readonly().optional(),
});

/** Where a step's time went, on one host, in milliseconds. */
export const phaseTimesSchema = z.object({
  /** Getting and decoding samples. */
  loadMs: durationMs,
  /** Forward, backward and quantisation. */
  computeMs: durationMs,
  /** Waiting for the slower neighbours before the first byte of the reduction; where steps overlap, what of it is left after computing. */
  waitMs: durationMs,
  /** The all-reduce itself. */
  ringMs: durationMs,
  /** Dequantisation, optimizer and weight hash. */
  optimizerMs: durationMs,
  totalMs: durationMs,
});
export type PhaseTimes = z.infer<typeof phaseTimesSchema>;

/** How a host came from one view to the first completed step of the next, in milliseconds; the parts follow each other. */
export const recoveryTimesSchema = z.object({
  /** Without a view: from the failure, or the news of another view, to the view that was entered. */
  viewMs: durationMs,
  /** Opening the ring's links. */
  ringMs: durationMs,
  /** Telling who holds what, and copying the state where somebody is behind. */
  syncMs: durationMs,
  /** Computing the grains that nobody holds any more. */
  grainsMs: durationMs,
  /** What is left of the step: maxima, sums, update. */
  stepMs: durationMs,
});
export type RecoveryTimes = z.infer<typeof recoveryTimesSchema>;

const stateBegin = z.object({ type: z.literal('state-begin'), header: stateHeaderSchema });
const stateChunk = z.object({ type: z.literal('state-chunk'), data: bytes });
const stateEnd = z.object({ type: z.literal('state-end') });

export const stateMessageSchema = z.discriminatedUnion('type', [stateBegin, stateChunk, stateEnd]);
export type StateMessage = z.infer<typeof stateMessageSchema>;

export const helloSchema = z.object({
  type: z.literal('hello'),
  protocolVersion: z.number().int(),
  proof,
  clientNonce: z.string().min(16).max(128),
  name,
  hostName: name,
  pid: z.number().int(),
  /** The worker has taken part before, lost its coordinator and trained on; this is what it was and the last view it heard of. */
  returns: z.object({ runId: name, workerId: name, generation, key: returnKey.optional() }).optional(),
});

/** A replica that differs from others of its step. */
const dissenterSchema = z.object({
  workerId: name,
  /** Of its weights when the difference was found. */
  weightsSha256: sha256Schema,
  /** False: they had changed since its last update, so its memory is at fault. True: the update itself came out otherwise. */
  isIntact: z.boolean(),
});

/** Differences that are told one by one. */
export const MAX_DIFFERENCES = 64;

/** A parameter, optimizer slot or the exponents of a state that is not what it should be. */
export const arrayDifferenceSchema = z.object({
  name: text,
  /** Elements that differ in at least one bit. */
  count: z.number().int().min(1),
  /** The first of them. */
  firstIndex: z.number().int().min(0),
  /** Its value; text, because it may be infinite or not a number. */
  found: text,
  expected: text,
});
export type ArrayDifference = z.infer<typeof arrayDifferenceSchema>;

export const workerMessageSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('ready'),
    endpoint: peerEndpointSchema,
    linkKey: linkKeySchema.optional(),
    identity: numericIdentitySchema,
    /** Step of the state that the worker already holds; undefined when it holds none. */
    step: step.optional(),
    share: z.number().int().min(1).max(1_000_000),
    /** Compute threads of this host. */
    workers: z.number().int().min(1).max(1024).default(1),
  }),
  z.object({
    type: z.literal('heartbeat'),
    step,
    generation,
    phase: z.enum(PHASES),
    /** How long it has been in this phase. */
    phaseMs: durationMs.optional(),
    ring: ringActivitySchema.optional(),
    /** When it left, by the worker's monotonic clock; comes back in a `heartbeat-echo`. */
    sentMs: z.number().optional(),
  }),
  z.object({
    type: z.literal('step-report'),
    generation,
    /** Steps completed, this one included. */
    step,
    weightsSha256: sha256Schema,
    /** Sums over the whole global batch; the same on every worker. */
    metrics: metricsSchema,
    /** Samples that this worker computed. */
    ownSamples: z.number().int().min(0),
    times: phaseTimesSchema,
    skipped: z.boolean(),
    requantised: z.boolean(),
    /** In the first step of a view. */
    recovery: recoveryTimesSchema.optional(),
  }),
  z.object({
    type: z.literal('evaluation-report'),
    step,
    epoch: z.number().int().min(0),
    metrics: metricsSchema,
    durationMs,
  }),
  z.object({
    type: z.literal('ring-failed'),
    generation,
    step,
    code: name,
    message: text,
    /** Worker that the reporter lost or waits for, where it knows. */
    suspect: name.optional(),
  }),
  /** Replicas at one step differed. Who was one of the dissenters says so too, with what it had otherwise. */
  z.object({
    type: z.literal('diverged'),
    generation,
    step,
    /** Weights of the majority, which all hold now; absent when nobody could say who is right. */
    agreedSha256: sha256Schema.optional(),
    /** All that had another state; all of that step when nobody could say who is right. */
    dissenters: z.array(dissenterSchema).min(1).max(LIMITS.members),
    /** Where the sender's state was another than the majority's. */
    differences: z.array(arrayDifferenceSchema).max(MAX_DIFFERENCES).default([]),
    /** Step that the sender went back to, since nobody could say who is right. */
    startsFrom: step.optional(),
  }),
  z.object({ type: z.literal('block-request'), sha256: sha256Schema }),
  z.object({ type: z.literal('state-request') }),
  /** Who trains now? A newcomer copies their state before it is ready. */
  z.object({ type: z.literal('peers-request') }),
  stateBegin,
  stateChunk,
  stateEnd,
  /** The run is complete (or was stopped): nothing more will be computed. */
  z.object({ type: z.literal('finished'), step, weightsSha256: sha256Schema, stopped: z.boolean() }),
  z.object({ type: z.literal('leaving'), reason: text }),
  z.object({ type: z.literal('failed'), code: name, message: text, hint: text.optional() }),
]);
export type WorkerMessage = z.infer<typeof workerMessageSchema>;
export type WorkerMessageOf<T extends WorkerMessage['type']> = Extract<WorkerMessage, { type: T }>;
export type Hello = z.infer<typeof helloSchema>;

export const coordinatorMessageSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('challenge'),
    protocolVersion: z.number().int(),
    serverNonce: z.string().min(16).max(128),
  }),
  z.object({ type: z.literal('refused'), code: name, message: text, hint: text.optional() }),
  z.object({
    type: z.literal('welcome'),
    proof,
    workerId: name,
    /** Proves later that a worker that comes back is the one that was called so. */
    returnKey: returnKey.optional(),
    run: runSpecSchema,
    heartbeatIntervalMs: z.number().int().min(10),
    /** A ring operation that makes no progress for this long has failed. */
    ringTimeoutMs: z.number().int().min(10),
    /** Results up to this step are in the ledger; a worker that returns repeats what it reported about later ones. */
    settledStep: step.default(0),
  }),
  /** Answers a heartbeat at once, so that the worker can tell how far the two clocks are apart. */
  z.object({
    type: z.literal('heartbeat-echo'),
    sentMs: z.number(),
    echoUnixMs: z.number(),
    /** Steps up to this one are on the coordinator's disk: no successor will ask for their reports. */
    recordedStep: step.optional(),
  }),
  z.object({ type: z.literal('view'), view: viewSchema }),
  /** The view in force, for one that is not in it; null when nobody trains. */
  z.object({ type: z.literal('peers'), view: viewSchema.nullable() }),
  z.object({ type: z.literal('block'), sha256: sha256Schema, data: bytes.nullable() }),
  stateBegin,
  stateChunk,
  stateEnd,
  /** End after the step in progress; the coordinator then asks one worker for its state. */
  z.object({ type: z.literal('stop'), reason: text }),
  /** Leave after the step in progress; the others go on. */
  z.object({ type: z.literal('drain'), reason: text }),
  /** Everything is said and written; close the connection. */
  z.object({ type: z.literal('goodbye') }),
  /** Send your state, as of the last step that you completed. */
  z.object({ type: z.literal('state-request') }),
  z.object({ type: z.literal('expelled'), code: name, message: text }),
]);
export type CoordinatorMessage = z.infer<typeof coordinatorMessageSchema>;
export type CoordinatorMessageOf<T extends CoordinatorMessage['type']> = Extract<CoordinatorMessage, { type: T }>;
