/** What comes from a socket before it is a message: frames, handshakes, segments, chunks. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { CoordError, PROTOCOL_VERSION } from '@coord/protocol';
import type { NatsConnection } from '@nats-io/transport-node';
import { checksum } from '../../../packages/ring/src/checksum.js';
import { FrameExchange } from '../../../packages/ring/src/frame-exchange.js';
import { PeerWait } from '../../../packages/ring/src/peer-wait.js';
import { allReduceSchedule } from '../../../packages/ring/src/schedule.js';
import { SEGMENT_HEADER_BYTES } from '../../../packages/ring/src/segment-header.js';
import { addCheck, CHECK_BYTES, removeCheck } from '../../../packages/transport/src/checked-message.js';
import { controlFrame, frameHeader, OPCODE } from '../../../packages/transport/src/frame.js';
import { FrameReader } from '../../../packages/transport/src/frame-reader.js';
import { createGuardedServer } from '../../../packages/transport/src/guarded-server.js';
import { NatsChannel } from '../../../packages/transport/src/nats-channel.js';
import {
  answerDial,
  type ChannelKeys,
  Dialer,
  isDialProven,
  parseDial,
  refusal,
} from '../../../packages/transport/src/nats-handshake.js';
import { Opener, SEAL_BYTES, Sealer } from '../../../packages/transport/src/sealed-messages.js';
import { SegmentAcceptor } from '../../../packages/transport/src/segment-acceptor.js';
import { routeUpgrades } from '../../../packages/transport/src/upgrade-router.js';
import {
  type DialIdentity,
  faultOfAccept,
  isLinkProof,
  linkProof,
  parseAcceptResponse,
  parseDialRequest,
  SEGMENT_PATH,
  writeAcceptResponse,
  writeDialRequest,
} from '../../../packages/transport/src/ws-handshake.js';
import type { FuzzTarget } from '../fuzz.js';
import { type Chance, mutateBytes } from '../mutate.js';

const from = 'a fuzzer';
const NO_CLOCK = { nowMs: () => 0, after: () => () => {} };
const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

// ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const PAYLOAD = Buffer.alloc(300, 7);
const dataFrame = (length: number) => Buffer.concat([frameHeader(OPCODE.binary, length), PAYLOAD.subarray(0, length)]);
const STREAMS = [
  Buffer.concat([dataFrame(40), dataFrame(0), dataFrame(200)]),
  Buffer.concat([controlFrame(OPCODE.ping, PAYLOAD.subarray(0, 9)), dataFrame(130)]),
  Buffer.concat([controlFrame(OPCODE.pong, PAYLOAD.subarray(0, 125), PAYLOAD.subarray(0, 4)), dataFrame(5)]),
  controlFrame(OPCODE.close, Buffer.from([3, 232, 98, 121, 101]), Buffer.from([1, 2, 3, 4])),
];

/** Asks for a frame of two parts, with room behind it. */
function addRead(reader: FrameReader, [lead, rest]: readonly [number, number], spareBytes: number): Promise<void> {
  const room = new Uint8Array(rest + spareBytes).subarray(0, rest);
  return reader.reads.add([new Uint8Array(lead), room], spareBytes);
}

/** Pieces of any length, as a socket delivers them. */
function feed(reader: FrameReader, bytes: Uint8Array, pieceBytes: () => number): void {
  for (let at = 0; at < bytes.length && !reader.isFull; ) {
    const room = reader.buffer();
    const piece = bytes.subarray(at, at + Math.min(room.length, pieceBytes()));
    room.set(piece);
    reader.advance(piece.length);
    at += piece.length;
  }
}

const readerOf = (side: 'server' | 'client', onControl: (opcode: number, payload: Uint8Array) => void = () => {}) =>
  new FrameReader({ remote: from, from: side, maxFrameBytes: 1024, onControl });

const frames: FuzzTarget = {
  name: 'frames',
  run(chance) {
    const reader = readerOf(chance.pick(['server', 'client'] as const));
    for (let read = 0; read < 3; read++)
      addRead(reader, [chance.below(50), chance.below(200)], chance.below(40)).catch(() => {});
    feed(reader, mutateBytes(STREAMS, chance), () => 1 + chance.below(64));
  },
  async control() {
    const parts = [new Uint8Array(40), new Uint8Array(0), new Uint8Array(200)];
    const reader = readerOf('server');
    const reads = parts.map((part) => reader.reads.add([part]));
    feed(reader, STREAMS[0], () => 7);
    await Promise.all(reads);
    for (const part of parts) assert.deepEqual(Buffer.from(part), PAYLOAD.subarray(0, part.length));
    const controls: [number, string][] = [];
    feed(
      readerOf('client', (opcode, payload) => controls.push([opcode, Buffer.from(payload).toString()])),
      STREAMS[3],
      () => 2,
    );
    assert.deepEqual(controls, [[OPCODE.close, '\x03\ufffdbye']]);
  },
};

// ── ring handshake ──────────────────────────────────────────────────────────────────────────────────────────────────

const KEY = 'k'.repeat(43);
const IDENTITY: DialIdentity = {
  generation: 3,
  rank: 1,
  purpose: 'ring',
  nonce: 'AAAAAAAAAAAAAAAAAAAAAA==',
  channelBinding: '',
};
const [DIAL_PROOF, ACCEPT_PROOF] = [linkProof('dial', KEY, IDENTITY), linkProof('accept', KEY, IDENTITY)];
const DIAL = Buffer.from(writeDialRequest('192.0.2.1:7070', KEY, IDENTITY));
const HEAD_END = '\r\n\r\n';
const ACCEPT = Buffer.from(writeAcceptResponse(KEY, IDENTITY).slice(0, -HEAD_END.length));
const REFUSAL = Buffer.from('HTTP/1.1 403 Forbidden\r\nConnection: close');

/** As Node's HTTP parser hands it over: visible characters alone. */
const visible = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^\x21-\x7e]/g, '%');

const requestOf = (url: string, headers: Readonly<Record<string, string>> = {}): IncomingMessage =>
  ({
    method: 'GET',
    url,
    headers: {
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': IDENTITY.nonce,
      'x-coord-proof': DIAL_PROOF,
      ...headers,
    },
  }) as unknown as IncomingMessage;

const targetOf = ({ generation, rank, purpose }: Omit<DialIdentity, 'nonce' | 'channelBinding'>) =>
  `${SEGMENT_PATH}?generation=${generation}&rank=${rank}&purpose=${purpose}`;

const refusedLink = () => new CoordError('LINK_CLOSED', 'the handshake was refused');

function dialOf(request: IncomingMessage): void {
  const dial = parseDialRequest(request);
  if (!dial) throw refusedLink();
  // Numbers and names have one way to be written, so what was signed is what was read.
  const again = parseDialRequest(requestOf(targetOf(dial), { 'sec-websocket-key': dial.nonce }));
  assert.deepEqual({ ...again, proof: dial.proof }, dial);
  const isProved = isLinkProof(dial.proof, 'dial', KEY, { ...dial, channelBinding: '' });
  const isOriginal =
    dial.proof === DIAL_PROOF && targetOf(dial) === targetOf(IDENTITY) && dial.nonce === IDENTITY.nonce;
  assert.equal(isProved, isOriginal);
}

const TARGETS_OF_DIALS = [
  targetOf(IDENTITY),
  targetOf({ generation: 9_007_199_254_740_991, rank: 0, purpose: 'state-2' }),
  '/ring?generation=9007199254740993&rank=-1&purpose=ring',
].map((text) => Buffer.from(text));

const ringHandshake: FuzzTarget = {
  name: 'ring handshake',
  run(chance) {
    const way = chance.below(3);
    if (way === 0) return dialOf(requestOf(visible(mutateBytes(TARGETS_OF_DIALS, chance))));
    if (way === 1) {
      const text = visible(mutateBytes([Buffer.from(IDENTITY.nonce), Buffer.from(DIAL_PROOF)], chance));
      return dialOf(requestOf(targetOf(IDENTITY), { [chance.pick(['sec-websocket-key', 'x-coord-proof'])]: text }));
    }
    const head = mutateBytes([ACCEPT, ACCEPT, REFUSAL], chance).toString('latin1');
    if (faultOfAccept(parseAcceptResponse(head), KEY, IDENTITY) !== undefined) throw refusedLink();
    assert.ok(head.startsWith('HTTP/1.1 101') && head.includes(ACCEPT_PROOF), 'an answer without its proof was taken');
  },
  control() {
    const { channelBinding: _, ...identity } = IDENTITY;
    assert.deepEqual(parseDialRequest(requestOf(targetOf(IDENTITY))), { ...identity, proof: DIAL_PROOF });
    assert.equal(faultOfAccept(parseAcceptResponse(ACCEPT.toString()), KEY, IDENTITY), undefined);
    assert.match(faultOfAccept(parseAcceptResponse(REFUSAL.toString()), KEY, IDENTITY) ?? '', /403/);
    const other = { ...IDENTITY, generation: 4 };
    assert.match(faultOfAccept(parseAcceptResponse(ACCEPT.toString()), KEY, other) ?? '', /does not know the key/);
  },
};

// ── first bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A connection to a server, without a network below it: what goes through a port or a Unix-domain socket. */
class Wire extends Duplex {
  readonly answers: Buffer[] = [];

  override _read(): void {}
  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.answers.push(bytes);
    done();
  }
  setNoDelay(): void {}
  setKeepAlive(): void {}
  setTimeout(): void {}

  get answer(): string {
    return Buffer.concat(this.answers).toString('latin1');
  }
}

const server = createGuardedServer((_request, response) => void response.writeHead(404).end());

/** @returns the answer, and whether the link was taken. */
async function connectWith(bytes: Uint8Array, cut: number): Promise<{ answer: string; isTaken: boolean }> {
  const acceptor = new SegmentAcceptor(60_000);
  const giveBack = routeUpgrades(server, SEGMENT_PATH, (request, socket, head) =>
    acceptor.handleUpgrade(request, socket, head),
  );
  let isTaken = false;
  acceptor.accept({ ...IDENTITY, key: KEY, timeoutMs: 60_000 }).then(
    () => {
      isTaken = true;
    },
    () => {},
  );
  const wire = new Wire();
  wire.on('error', () => {});
  server.emit('connection', wire);
  for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) if (piece.length > 0) wire.push(piece);
  // Whoever is not answered by then waits for more bytes.
  for (let turn = 0; turn < 4 && wire.answers.length === 0 && !wire.destroyed; turn++) await turnOfEvents();
  acceptor.close();
  wire.destroy();
  giveBack();
  await turnOfEvents();
  return { answer: wire.answer, isTaken };
}

const turnOfEvents = () => new Promise((resolve) => setImmediate(resolve));

const OTHER_REQUESTS = [
  'GET /status HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /ring HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n',
  'GET /join HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
].map((text) => Buffer.from(text));

const firstBytes: FuzzTarget = {
  name: 'first bytes',
  async run(chance) {
    const bytes = mutateBytes([DIAL, DIAL, DIAL, ...OTHER_REQUESTS], chance);
    const { answer, isTaken } = await connectWith(bytes, chance.below(bytes.length + 1));
    // A request that was answered otherwise may have come before, on the same connection.
    assert.equal(answer.includes('HTTP/1.1 101'), isTaken);
    if (!isTaken) throw refusedLink();
    assert.ok(bytes.includes(DIAL_PROOF) && bytes.includes(IDENTITY.nonce), 'a dial without its proof was taken');
  },
  async control() {
    const { answer, isTaken } = await connectWith(DIAL, 20);
    assert.ok(isTaken);
    assert.equal(faultOfAccept(parseAcceptResponse(answer.slice(0, -HEAD_END.length)), KEY, IDENTITY), undefined);
    assert.match((await connectWith(OTHER_REQUESTS[0], 3)).answer, /^HTTP\/1\.1 404/);
    assert.match((await connectWith(Buffer.from('\x16\x03\x01\0\xff'), 1)).answer, /^HTTP\/1\.1 400/);
  },
};

// ── segments ────────────────────────────────────────────────────────────────────────────────────────────────────────

const SCHEDULE = allReduceSchedule({ rank: 1, size: 3 }, 3 * 256, 4, 64);
const TAG = { sequence: 4_000_000_000, name: 'sum', totalBytes: 3 * 256 } as const;

const exchangeOf = () => new FrameExchange(TAG, SCHEDULE, checksum, new PeerWait(NO_CLOCK));

/** Headers, and the bytes behind them, that are not what was due. */
const segmentHeaders: FuzzTarget = {
  name: 'segment headers',
  run(chance) {
    const exchange = exchangeOf();
    const [due, other] = [chance.pick(SCHEDULE.receives), chance.pick(SCHEDULE.receives)];
    // Links keep the order, so another segment comes whole.
    const isDamaged = chance.below(4) > 0;
    const [header, bytes] = stamped(exchange, isDamaged ? due : other, chance.below(256));
    const [sentHeader, sent] = [Buffer.from(header), Buffer.from(bytes)];
    if (isDamaged) damage(chance.below(2) === 0 ? header : bytes, chance);
    exchange.check(0, due, header, bytes);
    assert.ok(isSame(sentHeader, header), 'a damaged header was taken');
    assert.ok(isSame(sent, bytes) || isWeakSpot(sent, bytes), 'damaged bytes were summed');
    assert.ok(isDamaged || (due.step === other.step && due.index === other.index), 'another segment was summed');
  },
  control() {
    for (const segment of SCHEDULE.receives) {
      const exchange = exchangeOf();
      exchange.check(0, segment, ...stamped(exchange, segment, 3));
    }
  },
};

/** What the checksum is known to miss: several words that differ, all of them in high bits alone; see checksum.ts. */
function isWeakSpot(sent: Buffer, arrived: Buffer): boolean {
  const changes = Array.from(
    { length: sent.length / 4 },
    (_, word) => arrived.readInt32LE(4 * word) - sent.readInt32LE(4 * word),
  );
  const changed = changes.filter((change) => change !== 0);
  return changed.length > 1 && changed.every((change) => change % 2 ** 8 === 0);
}

/** A frame of another length reaches no header check: its reader expects the lengths of both parts. */
const damage = (part: Uint8Array, chance: Chance): void =>
  part.set(mutateBytes([part], chance).subarray(0, part.length));

function stamped(exchange: FrameExchange, segment: (typeof SCHEDULE.receives)[number], fill: number) {
  const [header, bytes] = [new Uint8Array(SEGMENT_HEADER_BYTES), Buffer.alloc(segment.end - segment.start, fill)];
  exchange.stamp(header, segment, bytes);
  return [header, bytes] as const;
}

// Long enough that a change of all of it is not just another message: a CRC-32 notices what spans up to 32 bits.
const CHECKED = ['a message', 'another one', 'payload '.repeat(9)].map((text) =>
  Buffer.from(addCheck(Buffer.from(text))),
);

const checkedMessages: FuzzTarget = {
  name: 'checked messages',
  run(chance) {
    const bytes = mutateBytes(CHECKED, chance);
    const message = removeCheck(bytes);
    if (!message) throw new CoordError('FRAME_INVALID', 'it was damaged');
    // What is as short as its check can be changed into any other; all longer ones that fit are those that were made.
    assert.ok(
      bytes.length <= 2 * CHECK_BYTES || CHECKED.some((made) => isSame(made, bytes)),
      `damage went unnoticed: ${bytes.toString('hex')}`,
    );
  },
  control() {
    for (const made of CHECKED) assert.deepEqual(removeCheck(made), made.subarray(0, -4));
  },
};

// ── NATS ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Deliver = (error: Error | null, message: { data: Uint8Array }) => void;
const [MAX_FRAME_BYTES, CHUNK_BYTES] = [4096, 512];

const [THERE, BACK] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
const SPEAKER = { send: THERE, receive: BACK };
const HEARER = { send: BACK, receive: THERE };

/** One end of a channel, over a connection that keeps what is published. */
function natsEnd(
  keys: Pick<ChannelKeys, 'send' | 'receive'>,
  onFrame: (frame: Uint8Array) => void = () => {},
  strangerBytes?: number,
) {
  const published: Buffer[] = [];
  let deliver: Deliver = () => {};
  const connection = {
    info: { max_payload: CHUNK_BYTES },
    // One each: a promise keeps whatever waits for it.
    closed: () => new Promise(() => {}),
    isClosed: () => false,
    flush: async () => {},
    publish: (_subject: string, data: Buffer) => void published.push(data),
    subscribe: (_subject: string, { callback }: { callback: Deliver }) => {
      deliver = callback;
      return { unsubscribe() {} };
    },
  } as unknown as NatsConnection;
  const channel = new NatsChannel({
    connection,
    remote: from,
    sendSubject: 'to',
    receiveSubject: 'from',
    maxFrameBytes: MAX_FRAME_BYTES,
    clock: NO_CLOCK,
    strangerBytes,
    onFrame,
    onClosed() {},
  });
  channel.begin(keys);
  return { channel, published, deliver: (data: Uint8Array) => deliver(null, { data }) };
}

const NATS_FRAMES = [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(1500, 5), Buffer.alloc(MAX_FRAME_BYTES, 9)];

/** All that one end says, goodbye included. */
async function saidOverNats(): Promise<Buffer[]> {
  const { channel, published } = natsEnd(SPEAKER);
  for (const frame of NATS_FRAMES) await channel.send([frame]);
  await channel.close('done');
  return published;
}
const SAID = await saidOverNats();

/** Some messages are damaged, doubled, lost, sent back, or sealed by somebody else. */
function listenOverNats(chance: Chance): void {
  const received: Uint8Array[] = [];
  const end = natsEnd(HEARER, (frame) => received.push(frame), chance.below(4) === 0 ? 600 : undefined);
  const stranger = new Sealer(Buffer.alloc(32, 3 + chance.below(200)));
  for (const message of SAID) {
    const way = chance.below(80);
    if (way === 0) continue;
    if (way === 5) end.deliver(message);
    if (way === 6) end.deliver(stranger.seal(chance.below(5), Buffer.alloc(chance.below(600))));
    if (way === 7) for (const own of end.published) end.deliver(own);
    if (way === 8) end.deliver(mutateBytes([message], chance));
    end.deliver(way < 4 ? mutateBytes([message], chance) : message);
  }
  for (const [index, frame] of received.entries()) {
    // What arrives is what was sent, in order, as far as it arrives.
    assert.ok(isSame(frame, NATS_FRAMES[index]), 'a frame was taken that nobody has sent');
  }
  const { outcome } = end.channel;
  end.channel.lose('the input is over');
  if (outcome === undefined || !outcome.clean) throw refusedLink();
}

const natsFrames: FuzzTarget = {
  name: 'nats frames',
  run: listenOverNats,
  control() {
    const received: Uint8Array[] = [];
    const end = natsEnd(HEARER, (frame) => received.push(frame));
    for (const message of SAID) end.deliver(message);
    assert.deepEqual(received.map(Buffer.from), NATS_FRAMES);
    assert.deepEqual(end.channel.outcome, { reason: 'done', clean: true });
  },
};

const SEALED_CONTENT = Buffer.alloc(200, 3);
const MAX_SEALED_BYTES = 256;

/** Nothing opens that is not, bit for bit, what was sealed; and what does not open changes nothing. */
const sealedMessages: FuzzTarget = {
  name: 'sealed messages',
  run(chance) {
    const [sealer, opener] = [new Sealer(THERE), new Opener(THERE, MAX_SEALED_BYTES)];
    const sealed = [1, 2, 3].map((kind) => sealer.seal(kind, SEALED_CONTENT.subarray(0, chance.below(200))));
    const mutated = mutateBytes(sealed, chance);
    const opened = opener.open(mutated);
    const original = sealed.findIndex((message) => isSame(message, mutated));
    assert.equal(opened?.missing, original < 0 ? undefined : original);
    const left = sealed.slice(original + 1);
    for (const [index, message] of left.entries())
      assert.equal(opener.open(message)?.missing, 0, `message ${index} of those left did not open`);
    if (!opened) throw refusedLink();
  },
  control() {
    const sealed = new Sealer(THERE).seal(4, SEALED_CONTENT);
    assert.equal(sealed.length, SEALED_CONTENT.length + SEAL_BYTES);
    assert.deepEqual(new Opener(THERE, 200).open(sealed), { kind: 4, content: SEALED_CONTENT, missing: 0 });
    assert.equal(new Opener(THERE, 199).open(sealed), undefined);
  },
};

const NATS_AIM = { subject: 'coord.a-run.join', secret: KEY };
const NATS_DIALER = new Dialer(NATS_AIM);
const NATS_DIAL = Buffer.from(NATS_DIALER.dial);
const NATS_ANSWER = Buffer.from(answerDial(parseDial(NATS_DIAL)!, NATS_AIM)!.answer);
const REFUSALS = [refusal('secret'), '{"refused":"version","version":99}'].map((text) => Buffer.from(text));

const natsDials: FuzzTarget = {
  name: 'nats dials',
  run(chance) {
    const bytes = mutateBytes([NATS_DIAL, NATS_ANSWER, ...REFUSALS], chance);
    const dial = parseDial(bytes);
    // It becomes part of subjects, where dots and wildcards mean something.
    assert.match(dial?.key ?? NATS_DIALER.id, /^[\w-]{43}$/);
    const original = parseDial(NATS_DIAL)!;
    if (dial && isDialProven(dial, NATS_AIM)) assert.deepEqual([dial.key, dial.proof], [original.key, original.proof]);
    if (dial) answerDial(dial, NATS_AIM);
    const answer = NATS_DIALER.readAnswer(bytes);
    if (answer && 'send' in answer) assert.deepEqual(JSON.parse(bytes.toString()), JSON.parse(NATS_ANSWER.toString()));
    if (!dial && !answer) throw refusedLink();
  },
  control() {
    const dial = parseDial(NATS_DIAL)!;
    assert.ok(isDialProven(dial, NATS_AIM) && !isDialProven(dial, { ...NATS_AIM, secret: 'another' }));
    assert.ok('send' in NATS_DIALER.readAnswer(NATS_ANSWER)!);
    assert.deepEqual(NATS_DIALER.readAnswer(REFUSALS[0]), { refused: 'secret', version: PROTOCOL_VERSION });
  },
};

export const WIRE_TARGETS: readonly FuzzTarget[] = [
  frames,
  ringHandshake,
  firstBytes,
  segmentHeaders,
  checkedMessages,
  sealedMessages,
  natsFrames,
  natsDials,
];
