/**
 * The host's replica of the training state, and who may look at it when. The weights change only inside `mutate`; a
 * snapshot taken outside is always of one completed step.
 */
import { arenaBytes, createArena, hashState, hashWeights, type Layout, type TrainingState } from '@coord/protocol';
import { createKernels } from '@coord/ring';
import { DIGEST_BYTES } from './replica-digest.js';
import type { Testimony } from './replica-verdict.js';
import { snapshotOf } from './state-transfer.js';

/** What is copied from one host to another. */
export type Replica = Omit<TrainingState, 'step'>;

export interface Spare {
  readonly replica: Replica;
  readonly checksum: Checksum;
}

type Checksum = (bytes: Uint8Array) => number;

const STEP_BYTES = 4;

/** @param weightsSha256 of its weights. */
export function checkNumberOf(replica: Replica, weightsSha256: string, checksum: Checksum): number {
  const slots = [...replica.slots.values()].map((values) => checksum(bytesOf(values)));
  const digest = digestOf(replica, weightsSha256, checksum);
  return checksum(Buffer.concat([digest, Buffer.from(Int32Array.from(slots).buffer)])) >>> 0;
}

/** Without the step. */
function digestOf({ weights, exponents }: Replica, weightsSha256: string, checksum: Checksum): Uint8Array {
  const bytes = Buffer.alloc(DIGEST_BYTES - STEP_BYTES);
  bytes.write(weightsSha256, 0, 8, 'hex');
  bytes.writeInt32LE(checksum(bytesOf(weights)), 8);
  bytes.writeInt32LE(checksum(exponents), 12);
  return bytes;
}

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
    private readonly checksum: Checksum,
  ) {}

  /** What must be equal on all replicas, as it is now, before anybody adds up what was computed from it. Costs one reading. */
  digest(): Uint8Array {
    const step = Buffer.alloc(STEP_BYTES);
    step.writeUInt32LE(this.step);
    return Buffer.concat([digestOf(this, this.weightsSha256, this.checksum), step]);
  }

  /**
   * Checksum of what the last update came to, by its own account: the weights' hash and the exponents. Reads neither weights nor slots.
   * What memory has changed since then shows in the digest before anything that was computed from it is summed; a slot, in the weights after
   * the next update.
   */
  updateNumber(): number {
    return this.checksum(Buffer.concat([Buffer.from(this.weightsSha256, 'hex'), this.exponents])) >>> 0;
  }

  /** Checksum of everything that decides the rest of the run, as it is now. */
  checkNumber(): number {
    return checkNumberOf(this, this.weightsSha256, this.checksum);
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

  /** Buffers of the same layout, for a state that comes from elsewhere. In a memory of their own, where the kernels are quick. */
  createSpare(): Spare {
    const { layout, weights, slots, exponents } = this;
    const sizes = [weights, ...slots.values(), exponents].map(({ byteLength }) => byteLength);
    const arena = createArena(arenaBytes(sizes));
    const replica = {
      layout,
      weights: arena.float32(weights.length),
      slots: new Map([...slots].map(([name, values]) => [name, arena.float32(values.length)])),
      exponents: arena.uint8(exponents.length),
    };
    return { replica, checksum: createKernels(arena.memory).checksum };
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
