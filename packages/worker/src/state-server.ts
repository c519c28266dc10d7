/**
 * Serves a host's training state to others while it trains. A copy is put aside at one step boundary and sent while training
 * goes on; each of several hosts is asked for a part, so a boundary costs the copying of a part. Whoever has a copy follows: it
 * gets what every later update was made of, and makes the updates itself, to the same bits.
 */
import {
  decodeMessage,
  encodeMessage,
  type StateReply,
  type StateReplyOf,
  type StateRequest,
  stateRequestSchema,
  stateSections,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { HostState } from './host-state.js';
import { piecesOf } from './state-pieces.js';
import { UpdateCopies } from './update-copies.js';

/** A follower that is so far behind holds too much memory here; it is let go, and copies again. */
const MAX_BACKLOG_BYTES = 256 * 1024 * 1024;
const MAX_BACKLOG_UPDATES = 64;
/** Requests that may wait for a step. */
const MAX_WAITING = 64;

type CompletedUpdate = Omit<StateReplyOf<'update-begin'>, 'type'>;

interface Batch {
  readonly messages: readonly StateReply[];
  readonly sizeBytes: number;
  /** To be called once by everybody that it was pushed to, when its bytes are not read any more. */
  release(): void;
}

interface Waiting {
  readonly step: number;
  take(): void;
}

export class StateServer {
  readonly #waiting = new Set<Waiting>();
  readonly #followers = new Set<Follower>();
  /** What the update in work is made of; kept while somebody follows, because the update changes it. */
  #material: Uint8Array[] | undefined;
  readonly #copies = new UpdateCopies();

  constructor(private readonly state: HostState) {}

  /** Answers the one request that comes over the link; resolves when all is sent. */
  async serve(link: Link): Promise<void> {
    const request = decodeMessage(stateRequestSchema, await link.receive(), { from: link.remote });
    await this.state.settled();
    if (request.type === 'follow') await this.#follow(link);
    else await this.#copy(link, request);
  }

  /** To be called right before an update. */
  beforeUpdate(mean: Float32Array, exponents: Uint8Array): void {
    const { buffer, byteOffset, byteLength } = mean;
    const isWanted = this.#followers.size > 0;
    const sections = [new Uint8Array(buffer, byteOffset, byteLength), exponents];
    this.#material = isWanted ? this.#copies.take(sections) : undefined;
  }

  /** To be called when an update has been made, before anything changes again. */
  afterUpdate(update: CompletedUpdate): void {
    for (const waiting of [...this.#waiting].filter(({ step }) => step <= this.state.step)) {
      this.#waiting.delete(waiting);
      waiting.take();
    }
    const material = this.#material;
    if (!material) return;
    this.#material = undefined;
    let readers = this.#followers.size;
    const release = () => {
      if (--readers === 0) this.#copies.giveBack(material);
    };
    const batch = { ...batchOf(update, material), release };
    for (const follower of this.#followers) follower.push(batch);
  }

  async #copy(link: Link, { step, start, end }: Extract<StateRequest, { type: 'copy' }>): Promise<void> {
    const messages = this.state.step >= step ? this.#take(step, start, end) : await this.#later(link, step, start, end);
    for (const message of messages) await link.send(encodeMessage(message));
  }

  #later(link: Link, step: number, start: number, end: number): Promise<StateReply[]> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve([{ type: 'refused', step: this.state.step }]);
    return new Promise((resolve) => {
      const waiting = { step, take: () => resolve(this.#take(step, start, end)) };
      this.#waiting.add(waiting);
      void link.closed.then(() => {
        if (this.#waiting.delete(waiting)) resolve([]);
      });
    });
  }

  /** Nothing changes the state meanwhile: all of it is copied in one go. */
  #take(step: number, start: number, end: number): StateReply[] {
    const { state } = this;
    if (state.step !== step) return [{ type: 'refused', step: state.step }];
    const pieces = piecesOf(stateSections(state), start, end);
    return [
      { type: 'copy-begin', step, weightsSha256: state.weightsSha256, checkNumber: state.checkNumber() },
      ...pieces.map((piece): StateReply => ({ type: 'piece', data: Buffer.from(piece) })),
      { type: 'end' },
    ];
  }

  async #follow(link: Link): Promise<void> {
    const follower = new Follower(link);
    this.#followers.add(follower);
    void link.closed.then(() => follower.stop());
    try {
      await follower.run(this.state.step);
    } finally {
      this.#followers.delete(follower);
      if (this.#followers.size === 0) this.#copies.clear();
    }
  }
}

class Follower {
  readonly #backlog: Batch[] = [];
  #wake: () => void = () => {};
  #stopped = false;

  constructor(private readonly link: Link) {}

  push(batch: Batch): void {
    if (this.#stopped) {
      batch.release();
      return;
    }
    this.#backlog.push(batch);
    const sizeBytes = this.#backlog.reduce((sum, one) => sum + one.sizeBytes, 0);
    const isLost = sizeBytes > MAX_BACKLOG_BYTES || this.#backlog.length > MAX_BACKLOG_UPDATES;
    if (isLost) void this.link.close('too slow to follow');
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    for (const batch of this.#backlog.splice(0)) batch.release();
    this.#wake();
  }

  async run(step: number): Promise<void> {
    await this.link.send(encodeMessage({ type: 'following', step } satisfies StateReply));
    while (!this.#stopped) {
      const batch = this.#backlog.shift();
      if (batch) await this.#send(batch).finally(() => batch.release());
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  async #send({ messages }: Batch): Promise<void> {
    for (const message of messages) await this.link.send(encodeMessage(message));
  }
}

function batchOf(update: CompletedUpdate, sections: readonly Uint8Array[]): Omit<Batch, 'release'> {
  const sizeBytes = sections.reduce((sum, section) => sum + section.byteLength, 0);
  const pieces = piecesOf(sections, 0, sizeBytes);
  const messages: StateReply[] = [
    { type: 'update-begin', ...update },
    ...pieces.map((data): StateReply => ({ type: 'piece', data })),
    { type: 'end' },
  ];
  return { messages, sizeBytes };
}
