/**
 * The host's replica of the training state, and who may look at it when. The weights change only inside `mutate`; a
 * snapshot taken outside is always of one completed step.
 */
import { hashState, hashWeights, type Layout, type TrainingState } from '@coord/protocol';
import { DIGEST_BYTES } from './replica-digest.js';
import type { Testimony } from './replica-verdict.js';
import { snapshotOf } from './state-transfer.js';

/** What is copied from one host to another. */
export type Replica = Omit<TrainingState, 'step'>;

export class HostState {
  step = 0;
  /** Of the weights as they are: whoever changes them changes it too. */
  weightsSha256 = '';
  /** It is not what any other replica has at this step: of no use until it is copied anew. */
  isTorn = false;
  #mutation: Promise<unknown> = Promise.resolve();
  #replacements = 0;

  constructor(
    readonly layout: Layout,
    readonly weights: Float32Array,
    readonly slots: ReadonlyMap<string, Float32Array>,
    readonly exponents: Uint8Array,
    private readonly checksum: (bytes: Uint8Array) => number,
  ) {}

  /** What must be equal on all replicas, as it is now, before anybody adds up what was computed from it. Costs one reading. */
  digest(): Uint8Array {
    return this.#digestOf(this, this.weightsSha256);
  }

  /** Checksum of everything that decides the rest of the run, as it is now. */
  checkNumber(): number {
    return this.checkNumberOf(this, this.weightsSha256);
  }

  /** The same for another state, whose weights have this hash. */
  checkNumberOf(state: Replica, weightsSha256: string): number {
    const slots = [...state.slots.values()].map((values) => this.checksum(bytesOf(values)));
    const digest = this.#digestOf(state, weightsSha256);
    return this.checksum(Buffer.concat([digest, Buffer.from(Int32Array.from(slots).buffer)])) >>> 0;
  }

  #digestOf({ weights, exponents }: Replica, weightsSha256: string): Uint8Array {
    const bytes = Buffer.alloc(DIGEST_BYTES);
    bytes.write(weightsSha256, 0, 8, 'hex');
    bytes.writeInt32LE(this.checksum(bytesOf(weights)), 8);
    bytes.writeInt32LE(this.checksum(exponents), 12);
    return bytes;
  }

  /** What this replica has to say when replicas differ: hashes of the state as it is now. */
  testimony(): Testimony {
    const weightsSha256 = hashWeights(this.layout, this.weights);
    const isIntact = weightsSha256 === this.weightsSha256;
    return { step: this.step, weightsSha256, stateSha256: hashState(this), isIntact };
  }

  /** Runs `change`, which moves the state from one completed step to another, with nobody looking. */
  mutate<T>(change: () => Promise<T>): Promise<T> {
    const running = change();
    this.#mutation = running.catch(() => undefined);
    return running;
  }

  /** How often another host's state has taken the place of this one's. What was computed from it before is void. */
  get replacements(): number {
    return this.#replacements;
  }

  /** Takes over a whole, verified state of the same layout, in one go: a copy that breaks off leaves nothing behind. */
  replace({ step, weights, slots, exponents }: TrainingState, weightsSha256: string): void {
    this.weights.set(weights);
    for (const [name, values] of slots) this.slots.get(name)!.set(values);
    this.exponents.set(exponents);
    this.step = step;
    this.weightsSha256 = weightsSha256;
    this.#replacements++;
    this.isTorn = false;
  }

  /** Buffers of the same layout, for a state that comes from elsewhere. */
  createSpare(): Replica {
    const { layout, weights, slots, exponents } = this;
    const empty = ({ length }: Float32Array) => new Float32Array(length);
    return {
      layout,
      weights: empty(weights),
      slots: new Map([...slots].map(([name, values]) => [name, empty(values)])),
      exponents: new Uint8Array(exponents.length),
    };
  }

  /** Resolves when no change is under way. */
  async settled(): Promise<void> {
    await this.#mutation;
  }

  /** A copy of the state as of the last completed step. */
  async snapshot(): Promise<TrainingState> {
    await this.#mutation;
    return snapshotOf(this);
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
