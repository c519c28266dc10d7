/** Weights, samples, and what members of a ring tell each other of them. */
import assert from 'node:assert/strict';
import { createBatchReader } from '@coord/data';
import {
  CoordError,
  createLayout,
  type DatasetManifest,
  datasetManifestSchema,
  decodeMessage,
  encodeMessage,
  hashState,
  type StateMessage,
  stateMessageSchema,
  type TrainingState,
} from '@coord/protocol';
import { decodeRecord, encodeRecord, type HostRecord } from '../../../packages/worker/src/grain-book.js';
import { decodeTestimony, encodeTestimony, type Testimony } from '../../../packages/worker/src/replica-verdict.js';
import { StateReceiver, sendState } from '../../../packages/worker/src/state-transfer.js';
import type { FuzzTarget } from '../fuzz.js';
import { type Chance, mutateBytes, mutateValue } from '../mutate.js';

const SHA = 'ab'.repeat(32);
const from = 'a fuzzer';

// ── state ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const LAYOUT = createLayout([{ name: 'kernel', shape: [20, 30], role: 'trainable' }]);
const STATE: TrainingState = {
  step: 3,
  layout: LAYOUT,
  weights: new Float32Array(LAYOUT.totalSize).fill(0.5),
  slots: new Map([['m', new Float32Array(LAYOUT.totalSize)]]),
  exponents: new Uint8Array(LAYOUT.blockCount),
};
const STATE_SHA256 = hashState(STATE);
const STATE_MESSAGES: StateMessage[] = [];
await sendState(STATE, async (message) => void STATE_MESSAGES.push(message));

const emptyState = (): TrainingState => ({
  ...STATE,
  step: 0,
  weights: new Float32Array(LAYOUT.totalSize),
  slots: new Map([['m', new Float32Array(LAYOUT.totalSize)]]),
  exponents: new Uint8Array(LAYOUT.blockCount),
});

/** @returns whether the state is whole now. */
async function take(receiver: StateReceiver, into: TrainingState, message: unknown): Promise<boolean> {
  if (!receiver.accept(decodeMessage(stateMessageSchema, encodeMessage([message][0] as object), { from })))
    return false;
  await receiver.verified();
  assert.equal(hashState({ ...into, step: STATE.step }), STATE_SHA256, 'another state was taken for whole');
  return true;
}

const state: FuzzTarget = {
  name: 'state',
  /** Messages of a state, some of them changed, lost, doubled or in another order. */
  async run(chance) {
    const into = emptyState();
    const receiver = new StateReceiver(into, from);
    const inOrder = chance.below(2) === 0;
    for (let at = 0; at < STATE_MESSAGES.length + chance.below(3); at++) {
      const message = inOrder ? STATE_MESSAGES[at % STATE_MESSAGES.length] : chance.pick(STATE_MESSAGES);
      if (await take(receiver, into, chance.below(3) === 0 ? mutateValue(message, chance) : message)) return;
    }
  },
  async control() {
    const into = emptyState();
    const receiver = new StateReceiver(into, from);
    const whole: boolean[] = [];
    for (const message of STATE_MESSAGES) whole.push(await take(receiver, into, message));
    assert.equal(whole.filter(Boolean).length, 1);
    assert.equal(whole.at(-1), true);
  },
};

// ── records of the ring ─────────────────────────────────────────────────────────────────────────────────────────────

const GRAINS = 21;
const RECORDS: readonly HostRecord[] = [
  { step: 0, evaluatedStep: -1, stopped: false, attempt: 0, updateNumber: 0, isDoubted: false, held: new Set() },
  {
    step: 70,
    evaluatedStep: 64,
    stopped: true,
    attempt: 1,
    updateNumber: 2 ** 32 - 1,
    isDoubted: true,
    held: new Set([0, 7, 8, 20]),
  },
];
const RECORD_BYTES = RECORDS.map((record) => encodeRecord(record, GRAINS));

/** Whatever is taken has one way to be said, so it is what was said. */
const grainRecords: FuzzTarget = {
  name: 'grain records',
  run(chance) {
    const bytes = mutateBytes(RECORD_BYTES, chance);
    const record = decodeRecord(bytes, GRAINS);
    assert.deepEqual(Buffer.from(encodeRecord(record, GRAINS)), bytes);
    assert.ok([...record.held].every((grain) => grain < GRAINS) && record.evaluatedStep >= -1);
  },
  control() {
    for (const [index, record] of RECORDS.entries())
      assert.deepEqual(decodeRecord(RECORD_BYTES[index], GRAINS), record);
  },
};

const TESTIMONY: Testimony = { step: 9, isIntact: true, weightsSha256: SHA, stateSha256: 'cd'.repeat(32) };
const TESTIMONY_BYTES = encodeTestimony(TESTIMONY);

const testimonies: FuzzTarget = {
  name: 'testimonies',
  run(chance) {
    const bytes = mutateBytes([TESTIMONY_BYTES], chance);
    assert.deepEqual(Buffer.from(encodeTestimony(decodeTestimony(bytes))), bytes);
  },
  control() {
    assert.deepEqual(decodeTestimony(TESTIMONY_BYTES), TESTIMONY);
  },
};

// ── samples ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const BLOCK = Buffer.alloc(4 * 6 + 4 * 4, 3);
const DATASET: DatasetManifest = datasetManifestSchema.parse({
  name: 'd',
  fields: [
    { name: 'x', role: 'input', shape: [6], storage: 'uint8', dtype: 'float32', scale: 0.5 },
    { name: 'y', role: 'target', shape: [], storage: 'int32', dtype: 'int32' },
  ],
  train: { samples: 4, samplesPerBlock: 4, blocks: [{ sha256: SHA, samples: 4, bytes: BLOCK.length }] },
});

/** The bytes of a block, and now and then what describes them. */
async function readBlock(chance: Chance): Promise<void> {
  const described =
    chance.below(2) === 0 ? DATASET : datasetManifestSchema.safeParse(mutateValue(DATASET, chance)).data;
  // What no schema lets through reaches no reader.
  if (!described || described.train.samples > 1000) throw new CoordError('DATASET_INVALID', 'refused by its schema');
  const bytes = chance.below(2) === 0 ? BLOCK : mutateBytes([BLOCK], chance);
  const reader = createBatchReader(described, 'train', { get: async () => bytes });
  await reader.read([0, Math.min(3, reader.samples - 1), 0]);
}

const blocks: FuzzTarget = {
  name: 'blocks',
  run: readBlock,
  async control() {
    const reader = createBatchReader(DATASET, 'train', { get: async () => BLOCK });
    const { inputs, targets } = await reader.read([0, 3]);
    assert.deepEqual([...inputs[0]], Array(12).fill(1.5));
    assert.deepEqual([...targets[0]], Array(2).fill(0x03030303));
  },
};

export const STATE_TARGETS: readonly FuzzTarget[] = [state, grainRecords, testimonies, blocks];
