/** Training state on a link: a header, its bytes in chunks, an end. Verified by hash before anybody uses it. */
import {
  CoordError,
  headerOfGradually,
  type Layout,
  LIMITS,
  type StateHeader,
  type StateMessage,
  stateSections,
  type TrainingState,
} from '@coord/protocol';

/** Where a received state is written. */
export interface StateBuffers {
  readonly layout: Layout;
  readonly weights: Float32Array;
  readonly slots: ReadonlyMap<string, Float32Array>;
  readonly exponents: Uint8Array;
}

/** A copy that stays as it is while training goes on. */
export function snapshotOf(state: TrainingState): TrainingState {
  return {
    step: state.step,
    layout: state.layout,
    weights: state.weights.slice(),
    slots: new Map([...state.slots].map(([name, values]) => [name, values.slice()])),
    exponents: state.exponents.slice(),
  };
}

export async function sendState(state: TrainingState, send: (message: StateMessage) => Promise<void>): Promise<void> {
  await send({ type: 'state-begin', header: await headerOfGradually(state) });
  for (const section of stateSections(state)) {
    for (let at = 0; at < section.byteLength; at += LIMITS.stateChunkBytes) {
      await send({ type: 'state-chunk', data: Buffer.from(section.subarray(at, at + LIMITS.stateChunkBytes)) });
    }
  }
  await send({ type: 'state-end' });
}

/** Takes the messages of one state in order and fills the buffers; one use only. */
export class StateReceiver {
  readonly #sections: Uint8Array[];
  #header: StateHeader | undefined;
  #section = 0;
  #at = 0;

  constructor(
    private readonly buffers: StateBuffers,
    private readonly from: string,
  ) {
    this.#sections = stateSections({ ...buffers, step: 0 });
  }

  /** Of the state that was announced. */
  get weightsSha256(): string {
    return this.#header?.weightsSha256 ?? '';
  }

  /**
   * @returns true once all of it has come; what it is worth, `verified` says.
   * @throws CoordError STATE_UNAVAILABLE (wrong order or sizes), CHECKPOINT_MISMATCH (a state of another model or optimizer).
   */
  accept(message: StateMessage): boolean {
    switch (message.type) {
      case 'state-begin':
        this.#header = requireSameShape(message.header, this.buffers, this.from);
        return false;
      case 'state-chunk':
        this.#append(message.data);
        return false;
      case 'state-end':
        if (!this.#header || this.#section !== this.#sections.length) throw this.#bad('ended too early');
        return true;
    }
    return message satisfies never;
  }

  /**
   * Hashes what has come, with pauses: the thread has heartbeats to send.
   *
   * @returns the state's step.
   * @throws CoordError STATE_UNAVAILABLE when it is not what was announced.
   */
  async verified(): Promise<number> {
    const { step, stateSha256, weightsSha256 } = this.#header!;
    const found = await headerOfGradually({ ...this.buffers, step });
    if (found.stateSha256 === stateSha256 && found.weightsSha256 === weightsSha256) return step;
    throw this.#bad('does not have the hash that it was announced with');
  }

  #append(data: Uint8Array): void {
    const section = this.#sections[this.#section];
    if (!this.#header || !section || this.#at + data.byteLength > section.byteLength) {
      throw this.#bad('sent bytes that belong nowhere');
    }
    section.set(data, this.#at);
    this.#at += data.byteLength;
    if (this.#at < section.byteLength) return;
    this.#section++;
    this.#at = 0;
  }

  #bad(what: string): CoordError {
    return new CoordError('STATE_UNAVAILABLE', `the training state from ${this.from} ${what}`, {
      facts: { from: this.from },
    });
  }
}

function requireSameShape(header: StateHeader, buffers: StateBuffers, from: string): StateHeader {
  const describe = (list: readonly { name: string; shape: readonly number[] }[]) =>
    list.map(({ name, shape }) => `${name}[${shape.join()}]`).join(' ');
  const own = `${describe(buffers.layout.parameters)} with ${[...buffers.slots.keys()].join()}`;
  const theirs = `${describe(header.parameters)} with ${header.slots.join()}`;
  if (own !== theirs) {
    throw new CoordError('CHECKPOINT_MISMATCH', `the training state from ${from} is of another model or optimizer`, {
      hint: 'Resume a run with the configuration that it was started with.',
      facts: { expected: own.slice(0, 500), found: theirs.slice(0, 500) },
    });
  }
  return header;
}
