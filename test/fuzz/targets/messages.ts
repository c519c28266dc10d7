/** Messages between processes, and the words by which people bring them together. */
import assert from 'node:assert/strict';
import {
  CoordError,
  coordinatorMessageSchema,
  decodeMessage,
  encodeMessage,
  formatToken,
  helloSchema,
  isJoinProof,
  joinProof,
  LIMITS,
  METRICS,
  type MetricSpec,
  metricSpecSchema,
  metricValues,
  PROTOCOL_VERSION,
  type Purpose,
  parseToken,
  peerChallengeSchema,
  peerHelloSchema,
  peerWelcomeSchema,
  stateReplySchema,
  stateRequestSchema,
  tallyParts,
  tallySize,
  workerMessageSchema,
} from '@coord/protocol';
import { coordinatorUrl } from '../../../packages/cli/src/status-client.js';
import { ledgerEntrySchema } from '../../../packages/coordinator/src/ledger-entries.js';
import { natsUrl, parseNatsAddress } from '../../../packages/transport/src/nats-address.js';
import { joinUrl } from '../../../packages/worker/src/reach.js';
import type { FuzzTarget } from '../fuzz.js';
import { type Chance, mutateBytes, mutateValue } from '../mutate.js';

const SHA = 'ab'.repeat(32);
const from = 'a fuzzer';

/** Half of the inputs are well-formed MessagePack of a wrong shape, half are wrong bytes. */
function messages(
  name: string,
  seeds: readonly object[],
  schema: Parameters<typeof decodeMessage>[0],
  limitBytes?: number,
): FuzzTarget {
  const parse = (frame: Uint8Array) => decodeMessage(schema, frame, { from, limitBytes });
  const encoded = seeds.map(encodeMessage);
  return {
    name,
    run(chance) {
      const isBytes = chance.below(2) === 0;
      const message = parse(
        isBytes ? mutateBytes(encoded, chance) : encodeMessage([mutateValue(chance.pick(seeds), chance)][0] as object),
      );
      // What was taken can be said again, and is then taken for the same.
      assert.deepEqual(parse(encodeMessage(message as object)), message);
    },
    control() {
      for (const seed of seeds) {
        const message = parse(encodeMessage(seed)) as object;
        assert.deepEqual({ ...message, ...seed }, message);
      }
    },
  };
}

// ── joining ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const hello = {
  type: 'hello',
  protocolVersion: PROTOCOL_VERSION,
  proof: 'p'.repeat(43),
  clientNonce: 'n'.repeat(22),
  name: 'w',
  hostName: 'h',
  pid: 7,
};
const HELLOS: readonly object[] = [
  hello,
  { ...hello, returns: { runId: 'r', workerId: 'w1', generation: 3 } },
  { ...hello, returns: { runId: 'r', workerId: 'w1', generation: 3, key: 'k'.repeat(43) } },
];

const secretText = 's'.repeat(32);
const PEER_MESSAGES: readonly object[] = [
  { type: 'peer-challenge', nonce: secretText },
  { type: 'peer-hello', generation: 3, linkKey: 'k'.repeat(43), nonce: secretText, proof: secretText },
  { type: 'peer-welcome', proof: secretText },
  { type: 'copy', step: 3, start: 0, end: 100 },
  { type: 'follow' },
  { type: 'refused', step: 4 },
  { type: 'copy-begin', step: 3, weightsSha256: SHA, checkNumber: 7 },
  { type: 'following', step: 3 },
  { type: 'update-begin', step: 4, skipped: false, weightsSha256: SHA },
  { type: 'piece', data: Buffer.alloc(50, 3) },
  { type: 'end' },
];
const peerSchema = peerChallengeSchema
  .or(peerHelloSchema)
  .or(peerWelcomeSchema)
  .or(stateRequestSchema)
  .or(stateReplySchema);

// ── control messages ────────────────────────────────────────────────────────────────────────────────────────────────

const TIMES = { loadMs: 1, computeMs: 2, waitMs: 3, ringMs: 4, optimizerMs: 5, totalMs: 15 };
const RECOVERY = { viewMs: 1, ringMs: 2, syncMs: 3, grainsMs: 4, stepMs: 5 };
const IDENTITY = { engine: 'x', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
const HEADER = {
  step: 3,
  parameters: [{ name: 'kernel', shape: [20, 30], role: 'trainable' }],
  slots: ['m', 'v'],
  weightsSha256: SHA,
  stateSha256: SHA,
};
const STATE: readonly object[] = [
  { type: 'state-begin', header: HEADER },
  { type: 'state-chunk', data: Buffer.alloc(40, 1) },
  { type: 'state-end' },
];
const report = {
  type: 'step-report',
  generation: 1,
  step: 1,
  weightsSha256: SHA,
  metrics: { loss: 1, correct: 1, samples: 2 },
  ownSamples: 1,
  times: TIMES,
  skipped: false,
  requantised: false,
};
const localSocket = { machine: 'm'.repeat(43), directory: 'coord-peer-aB3xyz' };
const FROM_WORKERS: readonly object[] = [
  { type: 'ready', endpoint: { host: '192.0.2.1', port: 1 }, identity: IDENTITY, step: 0, share: 1, workers: 1 },
  {
    type: 'ready',
    endpoint: { host: '192.0.2.1', port: 1, certificateSha256: 'c'.repeat(43), localSocket },
    linkKey: 'k'.repeat(43),
    identity: IDENTITY,
    share: 3,
    workers: 3,
  },
  { type: 'heartbeat', step: 3, generation: 1, phase: 'ring', ring: { operation: 'sum', sequence: 3, isDone: false } },
  { type: 'heartbeat', step: 3, generation: 1, phase: 'compute', phaseMs: 3, sentMs: 1.5 },
  report,
  { ...report, metrics: { ...report.metrics, tally: [1, 2, 3] }, recovery: RECOVERY },
  { type: 'evaluation-report', step: 1, epoch: 1, metrics: { ...report.metrics, tally: [1, 0.5] }, durationMs: 1 },
  { type: 'ring-failed', generation: 1, step: 1, code: 'RING_BROKEN', message: 'x', suspect: 'w1' },
  {
    type: 'diverged',
    generation: 1,
    step: 2,
    agreedSha256: SHA,
    dissenters: [{ workerId: 'w2', weightsSha256: SHA, isIntact: false }],
    differences: [{ name: 'kernel', count: 1, firstIndex: 3, found: 'NaN', expected: '0.5' }],
  },
  { type: 'block-request', sha256: SHA },
  { type: 'state-request' },
  { type: 'peers-request' },
  ...STATE,
  { type: 'finished', step: 8, weightsSha256: SHA, stopped: false },
  { type: 'leaving', reason: 'Ctrl-C' },
  { type: 'failed', code: 'X', message: 'y', hint: 'z' },
];
const VIEW = {
  runId: 'r',
  generation: 2,
  members: [
    { workerId: 'w1', name: 'a', endpoint: { natsSubject: 'coord.r.host.1' }, share: 1, workers: 2 },
    { workerId: 'w2', name: 'b', endpoint: { host: '::1', port: 9, localSocket }, share: 1, linkKey: 'k'.repeat(43) },
  ].map((member) => ({ workers: 1, ...member })),
  ringKey: 'k'.repeat(43),
  reason: 'because',
};
const FROM_COORDINATORS: readonly object[] = [
  { type: 'challenge', protocolVersion: PROTOCOL_VERSION, serverNonce: 'n'.repeat(22) },
  { type: 'refused', code: 'TOKEN_WRONG', message: 'x', hint: 'y' },
  { type: 'view', view: VIEW },
  { type: 'peers', view: null },
  { type: 'block', sha256: SHA, data: Buffer.alloc(9, 2) },
  { type: 'block', sha256: SHA, data: null },
  { type: 'heartbeat-echo', sentMs: 1, echoUnixMs: 2, recordedStep: 3 },
  ...STATE,
  { type: 'stop', reason: 'x' },
  { type: 'drain', reason: 'x' },
  { type: 'goodbye' },
  { type: 'state-request' },
  { type: 'expelled', code: 'X', message: 'y' },
];

// ── tallies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const EXTRA: Partial<Record<(typeof METRICS)[number], object>> = {
  accuracy: { ofAll: false },
  topK: { k: 2 },
  precision: { average: 'macro' },
  recall: { average: 'micro' },
  f1: { average: 'macro' },
  auc: { bins: 4 },
};
const SPECS: readonly MetricSpec[] = METRICS.map((name) =>
  metricSpecSchema.parse({ name, key: name, output: 0, kind: 'classes', classes: 3, places: 1, ...EXTRA[name] }),
);
const evaluationEntry = (values: object) => ({ type: 'evaluation', step: 1, epoch: 1, ...values });

/** Numbers that a report may hold become values that the ledger can hold, and read again. */
function deriveMetrics(chance: Chance): void {
  const purpose = chance.pick<Purpose>(['training', 'evaluation']);
  const size = tallySize(tallyParts(SPECS, purpose));
  const tally = Array.from({ length: size }, () => chance.pick([0, 1, 2, 7, 1e308, -1, 0.5, 2 ** 53]));
  const sums = { loss: 1, correct: 1, samples: 2, tally };
  const given = mutateValue({ ...report, metrics: sums }, chance);
  const message = decodeMessage(workerMessageSchema, encodeMessage([given][0] as object), { from });
  if (message.type !== 'step-report' || message.metrics.tally?.length !== size)
    throw new CoordError('MESSAGE_UNEXPECTED', 'the coordinator looks no further');
  const values = metricValues(SPECS, message.metrics, purpose);
  const written: unknown = JSON.parse(JSON.stringify(evaluationEntry(values)));
  const read = ledgerEntrySchema.safeParse(written);
  assert.ok(read.success, `the ledger could not be read again: ${JSON.stringify(written)}`);
}

const tallies: FuzzTarget = {
  name: 'tallies',
  run: deriveMetrics,
  control() {
    const tally = Array.from({ length: tallySize(tallyParts(SPECS, 'evaluation')) }, () => 1);
    const { loss, metrics } = metricValues(SPECS, { loss: 3, correct: 1, samples: 2, tally }, 'evaluation');
    assert.equal(loss, 1.5);
    assert.deepEqual(metrics.confusionMatrix, Array(3).fill([1, 1, 1]));
    assert.deepEqual([metrics.precision, metrics.topK, metrics.auc, metrics.mse], [1, 0.5, 0.5, 1 / 6]);
    ledgerEntrySchema.parse(evaluationEntry({ loss, accuracy: null, samples: 2, metrics }));
  },
};

// ── tokens and addresses ────────────────────────────────────────────────────────────────────────────────────────────

const FINGERPRINT = 'f'.repeat(43);
const [SECRET, PINNED] = ['c2VjcmV0', `c2VjcmV0.sha256-${FINGERPRINT}`];
const STANDING = 'k'.repeat(43);
const TOKEN_TEXTS = [SECRET, PINNED, `${SECRET}.x25519-${STANDING}`, `${PINNED}.x25519-${STANDING}`];
const NONCES = { serverNonce: 's'.repeat(22), clientNonce: 'c'.repeat(22) };
const PROOF = joinProof(SECRET, 'worker', NONCES);

/** A token that was pasted wrongly proves nothing, and is never used on a plain connection where it pins a certificate. */
function readToken(chance: Chance): void {
  const text = mutateBytes(
    TOKEN_TEXTS.map((text) => Buffer.from(text)),
    chance,
  ).toString('utf8');
  const token = parseToken(text);
  assert.equal(formatToken(token), text);
  const isRight = isJoinProof(joinProof(token.secret, 'worker', NONCES), SECRET, 'worker', NONCES);
  // HMAC fills short keys up with zeros, so zeros behind a secret are no other secret.
  assert.equal(isRight, token.secret.replace(/\0+$/, '') === SECRET);
  const isPinned = token.certificateSha256 !== undefined;
  assert.match(token.certificateSha256 ?? FINGERPRINT, /^[\w-]{43}$/);
  const address = mutateBytes(ADDRESSES, chance).toString('utf8');
  const isEncrypted = chance.below(2) === 0;
  const url = isEncrypted ? joinUrl(address, isPinned) : coordinatorUrl(address, '/status', text).href;
  if (isPinned) assert.match(url, /^(wss|https):/);
}

const ADDRESSES = ['ws://192.0.2.7:7070', 'wss://[::1]:7070/x?y', '192.0.2.7:7070', 'https://a.example'].map((text) =>
  Buffer.from(text),
);

const tokens: FuzzTarget = {
  name: 'tokens',
  run: readToken,
  control() {
    const all = { secret: SECRET, certificateSha256: FINGERPRINT, standingKey: STANDING };
    assert.deepEqual(parseToken(TOKEN_TEXTS[3]), all);
    assert.deepEqual(parseToken(PINNED), { ...all, standingKey: undefined });
    assert.ok(isJoinProof(PROOF, SECRET, 'worker', NONCES) && !isJoinProof(PROOF, SECRET, 'coordinator', NONCES));
    assert.equal(joinUrl('192.0.2.7:7070', true), 'wss://192.0.2.7:7070/join');
    assert.equal(coordinatorUrl('192.0.2.7:7070', '/status', PINNED).href, 'https://192.0.2.7:7070/status');
    assert.throws(() => joinUrl('ws://192.0.2.7:7070', true), { code: 'USAGE' });
    assert.throws(() => coordinatorUrl('http://192.0.2.7:7070', '/status', PINNED), { code: 'USAGE' });
  },
};

const NATS_ADDRESSES = ['nats://192.0.2.7:4222/a-run', 'nats+tls://[::1]', 'NATS://a.example/'].map((text) =>
  Buffer.from(text),
);

const natsAddresses: FuzzTarget = {
  name: 'nats addresses',
  run(chance) {
    const address = parseNatsAddress(mutateBytes(NATS_ADDRESSES, chance).toString('utf8'), 'user:word');
    // What is printed leads to the same place, and holds no secret.
    assert.deepEqual(parseNatsAddress(natsUrl(address, address.run), 'user:word'), address);
    assert.match(address.run ?? 'a', /^[\w-]{1,128}$/);
  },
  control() {
    assert.deepEqual(parseNatsAddress('nats+tls://192.0.2.7/a-run', 'user:word'), {
      server: '192.0.2.7:4222',
      tls: true,
      credentials: { user: 'user', pass: 'word' },
      run: 'a-run',
    });
    assert.throws(() => parseNatsAddress('nats://user:word@192.0.2.7'), { code: 'USAGE' });
  },
};

export const MESSAGE_TARGETS: readonly FuzzTarget[] = [
  messages('join handshake', HELLOS, helloSchema, LIMITS.handshakeBytes),
  messages('peer messages', PEER_MESSAGES, peerSchema),
  messages('worker messages', FROM_WORKERS, workerMessageSchema),
  messages('coordinator messages', FROM_COORDINATORS, coordinatorMessageSchema),
  tallies,
  tokens,
  natsAddresses,
];
