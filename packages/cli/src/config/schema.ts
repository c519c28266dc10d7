/** Run configuration: what a person writes to describe a run. Only what differs from the defaults needs to stand in a file. */
import { dataConfigSchema } from '@coord/data';
import {
  ENGINES,
  optimizerSpecSchema,
  regularizationSpecSchema,
  ringSpecSchema,
  scheduleSpecSchema,
} from '@coord/protocol';
import { z } from 'zod';
import { LISTEN_PATTERN, parseListen } from '../listen.js';
import { lossConfigSchema } from './loss-schema.js';
import { metricsConfigSchema } from './metric-schema.js';
import { modelConfigSchema } from './model-schema.js';

const NATS_PATTERN = /^nats(\+tls)?:\/\/[^\s/@:]+(:\d{1,5})?$/;

const count = z.number().int().min(0);
const positive = z.number().int().min(1);

// A mapping without a name is the default one with other numbers: `optimizer: {learningRate: 0.01}` is Adam.
const [sgd, momentum, rmsprop, adam, adamw] = optimizerSpecSchema.options;
const namelessAdam = adam.extend({ name: z.literal('adam').default('adam') });
const optimizer = z.discriminatedUnion('name', [sgd, momentum, rmsprop, namelessAdam, adamw]);

const [constant, step, exponential, cosine] = scheduleSpecSchema.options;
const namelessConstant = constant.extend({ name: z.literal('constant').default('constant') });
const schedule = z.discriminatedUnion('name', [namelessConstant, step, exponential, cosine]);

const engine = z.strictObject({
  name: z.enum(ENGINES).describe('What computes gradients; auto takes the fastest that works.').default('auto'),
  threads: positive
    .max(1024)
    .describe('Compute threads of each worker; part of the numeric identity, so it can change bits.')
    .default(1),
});

const batch = z.strictObject({
  grains: positive.max(65535).describe('Grains of a step: the most workers that can share its work.').default(4),
  grainSize: positive
    .max(1_000_000)
    .describe('Samples of a grain; the global batch is grains × grainSize.')
    .default(16),
});

const evaluation = z.strictObject({
  everyEpochs: count.describe('Evaluate on the test split after every so many epochs; 0 never.').default(1),
  batchSize: positive.describe('Samples computed at once in an evaluation.').default(250),
});

const checkpoint = z.strictObject({
  everySteps: count.describe('Write a checkpoint after every so many steps; 0 never.').default(0),
  everyEpochs: count.describe('Write a checkpoint after every so many epochs; 0 never.').default(1),
  keepLast: positive.describe('Newest checkpoints that are kept; older ones are removed.').default(3),
});

const configSchema = z.strictObject({
  model: modelConfigSchema.describe('The network, by name, and its options.'),
  data: dataConfigSchema.describe('Where samples come from.'),
  loss: lossConfigSchema
    .describe('What is minimised: a name, a mapping with options, or a list with one an output of the model.')
    .default('categoricalCrossentropy'),
  metrics: metricsConfigSchema
    .optional()
    .describe(
      'What is measured beside the loss, by name or as a mapping with options; accuracy, where it has a meaning.',
    ),
  engine: engine.describe('How gradients are computed.').prefault({}),
  optimizer: optimizer.describe('How gradients become updates.').prefault({}),
  schedule: schedule.describe('How the learning rate changes over the run.').prefault({}),
  regularization: regularizationSpecSchema.describe('Penalties on weights, limits on gradients.').prefault({}),
  batch: batch.describe('The global batch and how it is cut.').prefault({}),
  epochs: positive.describe('Passes over the training split.').default(1),
  maxSteps: positive.optional().describe('Ends the run after so many steps, even in the middle of an epoch.'),
  seed: count
    .max(Number.MAX_SAFE_INTEGER)
    .describe('Decides initial weights, sample order, augmentation and dropout.')
    .default(1),
  workers: count
    .max(1024)
    .describe('Local workers that `coord start` launches; 0 waits for others to join.')
    .default(2),
  local: z
    .enum(['threads', 'processes'])
    .describe(
      'How local workers run: as threads of one process, which share memory, or as a process each, linked by a ring.',
    )
    .default('threads'),
  minWorkers: positive
    .optional()
    .describe('Workers that must be ready before the first step; as many as `workers` (at least 1) where left out.'),
  floorWorkers: positive.describe('Below this many workers training waits for others.').default(1),
  maxWorkers: positive
    .optional()
    .describe('Workers that train at a time; who joins beyond waits as a spare. Any number where left out.'),
  listen: z
    .string()
    .regex(LISTEN_PATTERN, 'expected HOST:PORT, as in 0.0.0.0:7070')
    .refine((text) => parseListen(text).port <= 65535, 'expected a port of at most 65535')
    .describe('HOST:PORT where workers join; port 0 takes any free one.')
    .default('127.0.0.1:7070'),
  transport: z
    .enum(['ws', 'nats'])
    .describe('What carries joins, control messages and the ring: WebSockets, or a NATS server that all can reach.')
    .default('ws'),
  nats: z
    .string()
    .regex(NATS_PATTERN, 'expected nats://HOST:PORT or nats+tls://HOST:PORT, without a password')
    .optional()
    .describe(
      'Address of the NATS server, for `transport: nats`; its credentials are read from COORD_NATS_CREDENTIALS.',
    ),
  natsNotices: z
    .boolean()
    .describe(
      'Whether the lines of the ledger are told, in the clear, to whoever listens at coord.RUN.ledger of the NATS server.',
    )
    .default(false),
  evaluation: evaluation.describe('Measuring on the test split.').prefault({}),
  checkpoint: checkpoint.describe('What is kept on disk, and how often.').prefault({}),
  ring: ringSpecSchema.describe('How gradients are reduced; only `wire` changes the result.').prefault({}),
  nonFinite: z
    .enum(['error', 'skip'])
    .describe('What happens to a step whose gradients are not finite: end the run, or leave the weights as they were.')
    .default('error'),
});

export const runConfigSchema = configSchema
  .refine(({ transport, nats }) => transport === 'ws' || nats !== undefined, {
    path: ['nats'],
    message: 'expected the address of a NATS server, since transport is nats: nats://HOST:PORT (flag --nats)',
  })
  .refine(({ maxWorkers, minWorkers, floorWorkers }) => !(maxWorkers! < Math.max(minWorkers ?? 1, floorWorkers)), {
    path: ['maxWorkers'],
    message: 'expected at least as many as minWorkers and floorWorkers, or training would never begin',
  });

/** A complete configuration, defaults filled in. */
export type RunConfig = z.infer<typeof runConfigSchema>;
/** What may be written in a file. */
export type RunConfigInput = z.input<typeof runConfigSchema>;
