/** Follows a host that trains: makes every update that it makes, from the same gradient, and is never more than a moment behind. */
import { CoordError, encodeMessage, type StateReplyOf } from '@coord/protocol';
import type { Link } from '@coord/transport';
import { receivePieces, receiveReply, type SourcePatience, type StateSource } from './state-copy.js';
import { applyUpdate, type UpdateParts } from './update.js';

/** Updates that are read ahead of the one in work; beyond that the link's own back-pressure holds the sender. */
const READ_AHEAD = 4;

/** Where an update is received. */
interface Room {
  readonly mean: Float32Array;
  readonly exponents: Uint8Array;
}

interface Update extends StateReplyOf<'update-begin'> {
  readonly room: Room;
}

export class StateFollower {
  readonly #updates: Update[] = [];
  /** Rooms of updates that have been made: fresh ones for every update cost more than what is copied into them. */
  readonly #free: Room[] = [];
  #ended: Error | undefined;
  #isApplying = false;
  /** Updates to later steps wait. */
  #limit = Number.POSITIVE_INFINITY;
  #changed: () => void = () => {};
  #change: Promise<void> = new Promise(() => {});

  private constructor(
    private readonly link: Link,
    private readonly label: string,
    /** The source had completed this step when it began to tell of further ones. */
    readonly since: number,
    private readonly parts: UpdateParts,
  ) {
    this.#renew();
    void this.#read();
  }

  /** @throws CoordError LINK_CLOSED, STATE_UNAVAILABLE, MESSAGE_INVALID. */
  static async open(source: StateSource, parts: UpdateParts, patience?: SourcePatience): Promise<StateFollower> {
    const link = await source.open();
    try {
      await link.send(encodeMessage({ type: 'follow' }));
      const reply = await receiveReply(link, source.label, patience);
      if (reply.type !== 'following') throw broken(source.label, `answered with ${reply.type}`);
      return new StateFollower(link, source.label, reply.step, parts);
    } catch (error) {
      await link.close('cannot follow');
      throw error;
    }
  }

  /** From now on updates are made as they come; the state is one that the source has been in. */
  begin(): void {
    void this.#applyAll();
  }

  /**
   * Makes no further update but those that `reach` asks for; resolves when none is in work. What is told about the state then stays
   * true: a source may have completed a step that nobody else has, and be gone.
   */
  async hold(): Promise<void> {
    this.#limit = 0;
    while (this.#isApplying) await this.#change;
  }

  /** Updates are made again as they come. */
  release(): void {
    this.#limit = Number.POSITIVE_INFINITY;
    this.#tell();
  }

  /** Nothing that has arrived is left to be made. */
  async caughtUp(): Promise<void> {
    while (!this.#ended && (this.#updates.length > 0 || this.#isApplying)) await this.#change;
  }

  /** @returns true once the state is that of `step`; false when it does not come to it. */
  async reach(step: number, signal: AbortSignal): Promise<boolean> {
    const { state } = this.parts;
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    this.#limit = step;
    this.#tell();
    const isUnderWay = () => (state.step < step && !this.#ended) || this.#isApplying;
    while (isUnderWay() && !signal.aborted) await Promise.race([this.#change, aborted]);
    return state.step === step && !state.isTorn && !this.#isApplying;
  }

  /** Resolves when nothing writes to the state any more. */
  async close(): Promise<void> {
    this.#end(broken(this.label, 'is not followed any longer'));
    await this.link.close('followed to the end');
    while (this.#isApplying) await this.#change;
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        while (this.#updates.length >= READ_AHEAD && !this.#ended) await this.#change;
        if (this.#ended) return;
        this.#updates.push(await this.#receiveUpdate());
        this.#tell();
      }
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #receiveUpdate(): Promise<Update> {
    const begin = await receiveReply(this.link, this.label);
    if (begin.type !== 'update-begin') throw broken(this.label, `sent ${begin.type} where an update was due`);
    const room = this.#free.pop() ?? this.#createRoom();
    await receivePieces(this.link, this.label, [new Uint8Array(room.mean.buffer), room.exponents]);
    return { ...begin, room };
  }

  #createRoom(): Room {
    const { totalSize, blockCount } = this.parts.state.layout;
    return { mean: new Float32Array(totalSize), exponents: new Uint8Array(blockCount) };
  }

  async #applyAll(): Promise<void> {
    while (!this.#ended) {
      const [update] = this.#updates;
      if (!update || update.step > this.#limit) {
        await this.#change;
        continue;
      }
      this.#updates.shift();
      if (update.step > this.parts.state.step) await this.#apply(update);
      // An update that the copied state has in it already makes room for another one, too.
      this.#free.push(update.room);
      this.#tell();
    }
  }

  async #apply(update: Update): Promise<void> {
    const { state, compute } = this.parts;
    this.#isApplying = true;
    try {
      if (update.step !== state.step + 1) throw broken(this.label, `left out step ${state.step + 1}`);
      const { skipped, room } = update;
      compute.mean.set(room.mean);
      await applyUpdate(this.parts, { step: state.step, skipped, exponents: room.exponents });
      if (state.weightsSha256 === update.weightsSha256) return;
      state.isTorn = true;
      throw broken(this.label, `came to other weights at step ${update.step} than this host from the same gradient`);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#isApplying = false;
      this.#tell();
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#tell();
  }

  #tell(): void {
    const wake = this.#changed;
    this.#renew();
    wake();
  }

  #renew(): void {
    this.#change = new Promise((resolve) => {
      this.#changed = resolve;
    });
  }
}

const broken = (from: string, what: string): CoordError =>
  new CoordError('STATE_UNAVAILABLE', `${from} ${what}`, { facts: { from } });
