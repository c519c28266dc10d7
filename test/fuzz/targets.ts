/** Every parser of what comes from a socket or a file, with inputs to start from. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createBatchReader } from '@coord/data';
import {
  coordinatorMessageSchema,
  createLayout,
  type DatasetManifest,
  datasetManifestSchema,
  decodeMessage,
  encodeMessage,
  headerOf,
  helloSchema,
  LIMITS,
  type StateMessage,
  stateMessageSchema,
  type TrainingState,
  workerMessageSchema,
} from '@coord/protocol';
import { parseManifest, sealManifest } from '../../packages/checkpoint/src/manifest.js';
import { decodeSafetensors, encodeSafetensors } from '../../packages/checkpoint/src/safetensors.js';
import { parseConfig } from '../../packages/cli/src/config/load.js';
import { CHAIN_START, formatLine, parseLedger } from '../../packages/coordinator/src/ledger-lines.js';
import { controlFrame, frameHeader, OPCODE } from '../../packages/transport/src/frame.js';
import { FrameReader } from '../../packages/transport/src/frame-reader.js';
import { parseAcceptResponse, parseDialRequest } from '../../packages/transport/src/ws-handshake.js';
import { decodeRecord, recordBytes } from '../../packages/worker/src/grain-book.js';
import { StateReceiver, sendState } from '../../packages/worker/src/state-transfer.js';
import type { FuzzTarget } from './fuzz.js';
import { type Chance, mutateBytes, mutateValue } from './mutate.js';

const SHA = 'ab'.repeat(32);
const from = 'a fuzzer';

// ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const PAYLOAD = Buffer.alloc(300, 7);
const dataFrame = (length: number) => Buffer.concat([frameHeader(OPCODE.binary, length), PAYLOAD.subarray(0, length)]);
const STREAMS = [
  Buffer.concat([dataFrame(40), dataFrame(0), dataFrame(200)]),
  Buffer.concat([controlFrame(OPCODE.ping, PAYLOAD.subarray(0, 9)), dataFrame(130)]),
  Buffer.concat([controlFrame(OPCODE.pong, PAYLOAD.subarray(0, 125), PAYLOAD.subarray(0, 4)), dataFrame(5)]),
  controlFrame(OPCODE.close, Buffer.from([3, 232, 98, 121, 101]), Buffer.from([1, 2, 3, 4])),
];

/** Cut into pieces anywhere, as a socket may do. */
function readFrames(chance: Chance): void {
  const bytes = mutateBytes(STREAMS, chance);
  const reader = new FrameReader({
    remote: from,
    from: chance.pick(['server', 'client'] as const),
    maxFrameBytes: 1024,
    onControl() {},
  });
  for (let read = 0; read < 3; read++)
    reader.reads.add([new Uint8Array(chance.below(50)), new Uint8Array(chance.below(200))]).catch(() => {});
  for (let at = 0; at < bytes.length && !reader.isFull; ) {
    const room = reader.buffer();
    const piece = bytes.subarray(at, at + Math.min(room.length, 1 + chance.below(64)));
    room.set(piece);
    reader.advance(piece.length);
    at += piece.length;
  }
}

// ── handshakes ──────────────────────────────────────────────────────────────────────────────────────────────────────

const HEADS = [
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: abc=\r\nx-coord-proof: def',
  'HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n',
].map((text) => Buffer.from(text));

const DIALS = ['/ring?generation=3&rank=1&purpose=ring', '/ring?generation=9007199254740993&rank=-1'].map((text) =>
  Buffer.from(text),
);

function shakeHands(chance: Chance): void {
  parseAcceptResponse(mutateBytes(HEADS, chance).toString('latin1'));
  // What Node's HTTP parser lets through as a target: visible characters.
  const url = mutateBytes(DIALS, chance)
    .toString('latin1')
    .replace(/[^\x21-\x7e]/g, '%');
  const headers = {
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': url.slice(0, 24),
    'x-coord-proof': url,
  };
  parseDialRequest({ method: 'GET', url, headers } as unknown as IncomingMessage);
}

const HELLOS: readonly object[] = [
  {
    type: 'hello',
    protocolVersion: 1,
    proof: 'p'.repeat(43),
    clientNonce: 'n'.repeat(22),
    name: 'w',
    hostName: 'h',
    pid: 7,
  },
  {
    type: 'hello',
    protocolVersion: 1,
    proof: 'p'.repeat(43),
    clientNonce: 'n'.repeat(22),
    name: 'w',
    hostName: 'h',
    pid: 7,
    returns: { runId: 'r', workerId: 'w1', generation: 3 },
  },
];

/** Half of the inputs are well-formed MessagePack of a wrong shape, half are wrong bytes. */
const messages =
  (seeds: readonly object[], parse: (frame: Uint8Array) => unknown) =>
  (chance: Chance): void => {
    if (chance.below(2) === 0) parse(mutateBytes(seeds.map(encodeMessage), chance));
    else parse(encodeMessage([mutateValue(chance.pick(seeds), chance)][0] as object));
  };

// ── control messages ────────────────────────────────────────────────────────────────────────────────────────────────

const TIMES = { loadMs: 1, computeMs: 2, waitMs: 3, ringMs: 4, optimizerMs: 5, totalMs: 15 };
const IDENTITY = { engine: 'x', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
const FROM_WORKERS: readonly object[] = [
  { type: 'ready', endpoint: { host: '192.0.2.1', port: 1 }, identity: IDENTITY, step: 0, share: 1, workers: 1 },
  { type: 'heartbeat', step: 3, generation: 1, phase: 'ring', ring: { operation: 'sum', sequence: 3, isDone: false } },
  {
    type: 'step-report',
    generation: 1,
    step: 1,
    weightsSha256: SHA,
    metrics: { loss: 1, correct: 1, samples: 2 },
    ownSamples: 1,
    times: TIMES,
    skipped: false,
    requantised: false,
  },
  { type: 'ring-failed', generation: 1, step: 1, code: 'RING_BROKEN', message: 'x', suspect: 'w1' },
  { type: 'block-request', sha256: SHA },
  { type: 'finished', step: 8, weightsSha256: SHA, stopped: false },
  { type: 'failed', code: 'X', message: 'y', hint: 'z' },
];
const FROM_COORDINATORS: readonly object[] = [
  { type: 'challenge', protocolVersion: 1, serverNonce: 'n'.repeat(22) },
  {
    type: 'view',
    view: {
      runId: 'r',
      generation: 2,
      members: [{ workerId: 'w1', name: 'a', endpoint: { natsSubject: 'coord.r.host.1' }, share: 1, workers: 2 }],
      ringKey: 'k'.repeat(43),
      reason: 'because',
    },
  },
  { type: 'block', sha256: SHA, data: new Uint8Array(9) },
  { type: 'heartbeat-echo', sentMs: 1, echoUnixMs: 2 },
  { type: 'expelled', code: 'X', message: 'y' },
];

// ── state ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const LAYOUT = createLayout([{ name: 'kernel', shape: [20, 30], role: 'trainable' }]);
const STATE: TrainingState = {
  step: 3,
  layout: LAYOUT,
  weights: new Float32Array(LAYOUT.totalSize).fill(0.5),
  slots: new Map([['m', new Float32Array(LAYOUT.totalSize)]]),
  exponents: new Uint8Array(LAYOUT.blockCount),
};
const STATE_MESSAGES: StateMessage[] = [];
await sendState(STATE, async (message) => void STATE_MESSAGES.push(message));

/** Messages of a state, some of them changed, lost, doubled or in another order. */
function receiveState(chance: Chance): void {
  const receiver = new StateReceiver({ ...STATE, weights: STATE.weights.slice() }, from);
  for (let left = STATE_MESSAGES.length + chance.below(3); left > 0; left--) {
    const message = chance.pick(STATE_MESSAGES);
    const sent = chance.below(3) === 0 ? mutateValue(message, chance) : message;
    receiver.accept(decodeMessage(stateMessageSchema, encodeMessage([sent][0] as object), { from }));
  }
}

function readGrainRecord(chance: Chance): void {
  const grains = 1 + chance.below(100);
  const bytes = Uint8Array.from({ length: recordBytes(grains) }, () => chance.below(256));
  decodeRecord(bytes, grains);
}

// ── data ────────────────────────────────────────────────────────────────────────────────────────────────────────────

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
  if (!described || described.train.samples > 1000) return;
  const bytes = chance.below(2) === 0 ? BLOCK : mutateBytes([BLOCK], chance);
  const reader = createBatchReader(described, 'train', { get: async () => bytes });
  await reader.read([0, Math.min(3, reader.samples - 1), 0]);
}

// ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const TENSORS = Buffer.concat(
  encodeSafetensors(
    [
      { name: 'a', dtype: 'F32', shape: [2, 3], bytes: bytesOf(new Float32Array(6)) },
      { name: 'b', dtype: 'U8', shape: [5], bytes: new Uint8Array(5) },
    ],
    { step: '3' },
  ),
);

const MANIFEST = sealManifest({
  formatVersion: 1,
  runId: 'r',
  epoch: 1,
  position: 64,
  seed: 7,
  configSha256: SHA,
  ...headerOf(STATE),
  files: { 'weights.safetensors': { bytes: 9, sha256: SHA }, 'optimizer.safetensors': { bytes: 9, sha256: SHA } },
});

/** Changed bytes, and changed content under a seal that fits. */
function readCheckpoint(chance: Chance): void {
  if (chance.below(2) === 0) {
    decodeSafetensors(Uint8Array.from(mutateBytes([TENSORS], chance)), 'weights.safetensors');
    return;
  }
  const { manifestSha256, ...body } = Object(mutateValue(MANIFEST, chance)) as Record<string, unknown>;
  const plain = JSON.parse(JSON.stringify(body)) as object;
  const sealed = { ...plain, manifestSha256: createHash('sha256').update(JSON.stringify(plain)).digest('hex') };
  parseManifest(Buffer.from(`${JSON.stringify(sealed, null, 2)}\n`), 'manifest.json');
}

const ENTRIES: readonly object[] = [
  { type: 'run-started', runId: 'r', configSha256: SHA, step: 0, weightsSha256: SHA },
  { type: 'view', generation: 1, members: [{ workerId: 'w1', share: 1 }], reason: 'x' },
  {
    type: 'step',
    step: 1,
    epoch: 0,
    generation: 1,
    weightsSha256: SHA,
    loss: 1,
    accuracy: null,
    samples: 4,
    skipped: false,
  },
];

function chained(entries: readonly unknown[]): Buffer {
  let head = CHAIN_START;
  const lines = entries.map((entry, index) => {
    const record = { seq: index + 1, time: '2026-01-01T00:00:00.000Z', entry } as Parameters<typeof formatLine>[1];
    const { line, sha256 } = formatLine(head, record);
    head = sha256;
    return line;
  });
  return Buffer.from(lines.join(''));
}
const LEDGER = chained(ENTRIES);

/** Changed bytes, and changed entries in a chain that fits. */
function readLedger(chance: Chance): void {
  if (chance.below(2) === 0) parseLedger('ledger.jsonl', mutateBytes([LEDGER], chance));
  else
    parseLedger(
      'ledger.jsonl',
      chained(ENTRIES.map((entry) => (chance.below(2) === 0 ? mutateValue(entry, chance) : entry))),
    );
}

const CONFIGS: readonly object[] = [
  { model: { name: 'cnn' }, data: { source: 'mnist' }, epochs: 5 },
  {
    model: { name: 'mlp', hidden: [8, 4] },
    data: { source: 'synthetic', samples: 10, shape: [4], classes: 2 },
    batch: { grains: 2 },
    loss: { name: 'categoricalCrossentropy', labelSmoothing: 0.1, classWeights: 'balanced' },
    metrics: ['accuracy', { name: 'topK', k: 1 }],
    transport: 'nats',
    nats: 'nats://127.0.0.1:4222',
  },
  {
    model: { name: 'gpt', contextLength: 8 },
    data: { source: 'text', file: 'x.txt', sequenceLength: 8 },
    optimizer: { name: 'sgd', learningRate: 1e-3 },
    listen: '127.0.0.1:0',
  },
];
const YAMLS = [
  'model:\n  name: cnn\ndata:\n  source: mnist\nepochs: 5\n',
  'model: {name: mlp, hidden: [8, 4]}\ndata: {source: synthetic, samples: 10, shape: [4], classes: 2}\nbatch: {grains: 2}\n',
  'model: &a {name: gpt}\ndata: {source: text, file: x.txt}\noptimizer: {name: sgd, learningRate: 1e-3}\n',
].map((text) => Buffer.from(text));

/** Changed bytes of YAML, and values of a wrong shape as JSON, which is YAML. */
function readConfig(chance: Chance): void {
  const text =
    chance.below(2) === 0
      ? mutateBytes(YAMLS, chance).toString('utf8')
      : JSON.stringify(mutateValue(chance.pick(CONFIGS), chance));
  parseConfig({ file: 'run.yaml', text });
}

export const TARGETS: readonly FuzzTarget[] = [
  { name: 'frames', run: readFrames },
  { name: 'ring handshake', run: shakeHands },
  {
    name: 'join handshake',
    run: messages(HELLOS, (frame) => decodeMessage(helloSchema, frame, { from, limitBytes: LIMITS.handshakeBytes })),
  },
  {
    name: 'worker messages',
    run: messages(FROM_WORKERS, (frame) => decodeMessage(workerMessageSchema, frame, { from })),
  },
  {
    name: 'coordinator messages',
    run: messages(FROM_COORDINATORS, (frame) => decodeMessage(coordinatorMessageSchema, frame, { from })),
  },
  { name: 'state', run: receiveState },
  { name: 'grain records', run: readGrainRecord },
  { name: 'blocks', run: readBlock },
  { name: 'checkpoint', run: readCheckpoint },
  { name: 'ledger', run: readLedger },
  { name: 'config', run: readConfig },
];
