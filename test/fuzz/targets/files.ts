/** Files: a run directory's own, and those that people give. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { FlightEvent, FlightHeader } from '@coord/protocol';
import { parseManifest, sealManifest } from '../../../packages/checkpoint/src/manifest.js';
import { decodeSafetensors, encodeSafetensors } from '../../../packages/checkpoint/src/safetensors.js';
import { parseSchedule } from '../../../packages/cli/src/chaos/schedule.js';
import { parseConfig } from '../../../packages/cli/src/config/load.js';
import { parseRunRecord } from '../../../packages/cli/src/run-directory.js';
import { parseFlightRecord } from '../../../packages/cli/src/timeline/flight-file.js';
import { traceOf } from '../../../packages/cli/src/timeline/trace.js';
import { parseTokenPage } from '../../../packages/coordinator/src/access/token-file.js';
import { CHAIN_START, formatLine, parseLedger } from '../../../packages/coordinator/src/ledger-lines.js';
import type { FuzzTarget } from '../fuzz.js';
import { type Chance, mutateBytes, mutateValue } from '../mutate.js';

const SHA = 'ab'.repeat(32);

/** Changed bytes of a text, or a value of a wrong shape in JSON. */
const mutateText = (texts: readonly string[], values: readonly unknown[], chance: Chance): string =>
  chance.below(2) === 0
    ? mutateBytes(texts.map(Buffer.from), chance).toString('utf8')
    : (JSON.stringify(mutateValue(chance.pick(values), chance)) ?? '');

// ── checkpoint ──────────────────────────────────────────────────────────────────────────────────────────────────────

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const TENSORS = [
  { name: 'a', dtype: 'F32', shape: [2, 3], bytes: bytesOf(new Float32Array(6).fill(0.5)) },
  { name: 'b', dtype: 'U8', shape: [5], bytes: new Uint8Array(5).fill(9) },
] as const;
const SAFETENSORS = Buffer.concat(encodeSafetensors(TENSORS, { step: '3' }));

const MANIFEST = sealManifest({
  formatVersion: 1,
  runId: 'r',
  epoch: 1,
  position: 64,
  seed: 7,
  configSha256: SHA,
  step: 3,
  parameters: [{ name: 'kernel', shape: [20, 30], role: 'trainable' }],
  slots: ['m'],
  weightsSha256: SHA,
  stateSha256: SHA,
  files: { 'weights.safetensors': { bytes: 9, sha256: SHA }, 'optimizer.safetensors': { bytes: 9, sha256: SHA } },
});
const manifestText = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

/** Changed bytes, and changed content under a seal that fits. */
function readCheckpoint(chance: Chance): void {
  if (chance.below(2) === 0) {
    const bytes = Uint8Array.from(mutateBytes([SAFETENSORS], chance));
    for (const tensor of decodeSafetensors(bytes, 'weights.safetensors').values())
      assert.ok(tensor.bytes.byteOffset + tensor.bytes.byteLength <= bytes.byteOffset + bytes.byteLength);
    return;
  }
  const { manifestSha256, ...body } = Object(mutateValue(MANIFEST, chance)) as Record<string, unknown>;
  const plain = JSON.parse(JSON.stringify(body)) as object;
  const sealed = { ...plain, manifestSha256: createHash('sha256').update(JSON.stringify(plain)).digest('hex') };
  parseManifest(Buffer.from(manifestText(sealed)), 'manifest.json');
}

const checkpoint: FuzzTarget = {
  name: 'checkpoint',
  run: readCheckpoint,
  control() {
    const read = [...decodeSafetensors(Uint8Array.from(SAFETENSORS), 'weights.safetensors').values()];
    const plain = (tensors: readonly { name: string; bytes: Uint8Array }[]) =>
      tensors.map(({ name, bytes }) => [name, [...bytes]]);
    assert.deepEqual(plain(read), plain(TENSORS));
    assert.deepEqual(parseManifest(Buffer.from(manifestText(MANIFEST)), 'manifest.json'), MANIFEST);
  },
};

// ── ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const ENTRIES: readonly object[] = [
  { type: 'run-started', runId: 'r', configSha256: SHA, step: 0, weightsSha256: SHA },
  { type: 'token-created', tokenId: 't1', name: 'join', role: 'worker' },
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
    metrics: { f1: 0.5, confusion: [[1, 2]] },
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
  if (chance.below(2) === 0) {
    const { records, wholeBytes } = parseLedger('ledger.jsonl', mutateBytes([LEDGER], chance));
    // A chain of hashes: what is taken is how the ledger began, nothing else.
    assert.deepEqual(
      records.map(({ entry }) => entry),
      ENTRIES.slice(0, records.length),
    );
    assert.ok(wholeBytes <= LEDGER.length);
    return;
  }
  const entries = ENTRIES.map((entry) => (chance.below(2) === 0 ? mutateValue(entry, chance) : entry));
  assert.equal(parseLedger('ledger.jsonl', chained(entries)).records.length, entries.length);
}

const ledger: FuzzTarget = {
  name: 'ledger',
  run: readLedger,
  control() {
    const { records, wholeBytes } = parseLedger('ledger.jsonl', Buffer.concat([LEDGER, Buffer.from('{"torn')]));
    assert.deepEqual(
      records.map(({ entry }) => entry),
      ENTRIES,
    );
    assert.equal(wholeBytes, LEDGER.length);
  },
};

// ── what people write ───────────────────────────────────────────────────────────────────────────────────────────────

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
    model: { name: 'gpt', length: 8 },
    data: { source: 'text', file: 'x.txt', sequenceLength: 8 },
    optimizer: { name: 'sgd', learningRate: 1e-3 },
    listen: '127.0.0.1:0',
  },
];
const YAMLS = [
  'model:\n  name: cnn\ndata:\n  source: mnist\nepochs: 5\n',
  'model: {name: mlp, hidden: [8, 4]}\ndata: {source: synthetic, samples: 10, shape: [4], classes: 2}\nbatch: {grains: 2}\n',
  'model: &a {name: gpt}\ndata: {source: text, file: x.txt}\noptimizer: {name: sgd, learningRate: 1e-3}\n',
];

const config: FuzzTarget = {
  name: 'config',
  run: (chance) => void parseConfig({ file: 'run.yaml', text: mutateText(YAMLS, CONFIGS, chance) }),
  control() {
    for (const text of YAMLS.slice(0, 2)) parseConfig({ file: 'run.yaml', text });
    for (const value of CONFIGS) {
      const { epochs } = parseConfig({ file: 'run.yaml', text: JSON.stringify({ ...value, epochs: 4 }) });
      assert.equal(epochs, 4);
    }
  },
};

const SCHEDULE = {
  seed: 7,
  workers: 3,
  faults: [
    { kind: 'kill', atStep: 3, worker: 1, forMs: 500 },
    { kind: 'slow-link', atMs: 900, worker: 3, forMs: 500, delayMs: 3, bytesPerSecond: 10_000 },
    { kind: 'corrupt', atStep: 9, worker: 2, link: 'ring' },
    { kind: 'clock-jump', atStep: 12, byMs: -5000 },
  ],
};

const schedule: FuzzTarget = {
  name: 'chaos schedule',
  run(chance) {
    const { workers, faults } = parseSchedule(
      mutateText([JSON.stringify(SCHEDULE)], [SCHEDULE], chance),
      'faults.yaml',
    );
    for (const fault of faults) {
      assert.equal(Number(fault.atStep !== undefined) + Number(fault.atMs !== undefined), 1);
      if ('worker' in fault) assert.ok((fault.worker ?? 1) >= 1 && (fault.worker ?? 1) <= workers);
    }
  },
  control() {
    assert.deepEqual(parseSchedule(JSON.stringify(SCHEDULE), 'faults.yaml'), SCHEDULE);
  },
};

// ── what a run leaves ───────────────────────────────────────────────────────────────────────────────────────────────

const RUN_RECORD = {
  formatVersion: 1,
  runId: 'r',
  configSha256: SHA,
  createdAt: '2026-01-01T00:00:00.000Z',
  directory: 'configs',
  config: parseConfig({ file: 'run.yaml', text: YAMLS[1] }),
};
const TOKENS = {
  formatVersion: 1,
  runSecret: 's'.repeat(32),
  tokens: [
    { id: 't1', name: 'join', role: 'worker', secret: 'x'.repeat(32), createdAt: '2026-01-01T00:00:00.000Z' },
    {
      id: 't2',
      name: 'lab 2',
      role: 'operator',
      secret: 'y'.repeat(32),
      createdAt: '2026-01-01T00:00:00.000Z',
      expiresAt: '2027-01-01T00:00:00.000Z',
    },
  ],
};

const runFiles: FuzzTarget = {
  name: 'run files',
  run(chance) {
    if (chance.below(2) === 0)
      parseRunRecord('config.json', mutateText([JSON.stringify(RUN_RECORD)], [RUN_RECORD], chance));
    else parseTokenPage('tokens.json', mutateText([JSON.stringify(TOKENS)], [TOKENS], chance));
  },
  control() {
    const { formatVersion: _, ...record } = RUN_RECORD;
    assert.deepEqual(
      { ...parseRunRecord('config.json', JSON.stringify(RUN_RECORD)), formatVersion: 1 },
      { ...record, formatVersion: 1 },
    );
    const { tokens, runSecret } = parseTokenPage('tokens.json', JSON.stringify(TOKENS));
    assert.deepEqual({ formatVersion: 1, tokens, runSecret }, TOKENS);
  },
};

const FLIGHT_HEADER: FlightHeader = {
  kind: 'header',
  formatVersion: 1,
  runId: 'r',
  workerId: 'w1',
  name: 'w',
  hostName: 'h',
  pid: 7,
  clock: { offsetMs: 1_700_000_000_000, roundTripMs: 2 },
  dropped: 0,
};
const TIMES = { loadMs: 1, computeMs: 2, waitMs: 3, ringMs: 4, optimizerMs: 5, totalMs: 15 };
const FLIGHT_EVENTS: readonly FlightEvent[] = [
  { kind: 'view', atMs: 1, generation: 1, rank: 0, members: ['w1', 'w2'] },
  { kind: 'phase', atMs: 2, phase: 'compute', step: 1, generation: 1 },
  { kind: 'ring', atMs: 3, edge: 'begin', operation: 'sum', sequence: 0, generation: 1, sizeBytes: 64 },
  { kind: 'ring', atMs: 4, edge: 'end', operation: 'sum', sequence: 0, generation: 1, sizeBytes: 64 },
  { kind: 'step', atMs: 5, step: 1, times: TIMES },
  { kind: 'failure', atMs: 6, step: 1, generation: 1, code: 'RING_BROKEN', message: 'x' },
];
const linesOf = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join('\n');
const FLIGHT = [FLIGHT_HEADER, ...FLIGHT_EVENTS];

/** As far as a trace, which other programs read: numbers only. */
const flight: FuzzTarget = {
  name: 'flight records',
  run(chance) {
    const text =
      chance.below(2) === 0
        ? mutateBytes([Buffer.from(linesOf(FLIGHT))], chance).toString('utf8')
        : linesOf(FLIGHT.map((line) => (chance.below(6) === 0 ? mutateValue(line, chance) : line)));
    for (const { ts, dur } of traceOf([], [parseFlightRecord('flight-w1.jsonl', text)]))
      assert.ok(Number.isFinite(ts) && Number.isFinite(dur ?? 0), text);
  },
  control() {
    const record = parseFlightRecord('flight-w1.jsonl', `${linesOf(FLIGHT)}\n`);
    assert.deepEqual(record, { header: FLIGHT_HEADER, events: FLIGHT_EVENTS });
    assert.ok(traceOf([], [record]).some(({ name, dur }) => name === 'sum 0' && dur === 1000));
  },
};

export const FILE_TARGETS: readonly FuzzTarget[] = [checkpoint, ledger, config, schedule, runFiles, flight];
