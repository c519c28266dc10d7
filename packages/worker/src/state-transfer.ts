/** Training state on a link: a header, its bytes in chunks, an end. Verified by hash before anybody uses it. */
import {
  CoordError,
  hashState,
  hashWeights,
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

  /** Of the state that was announced; verified once `accept` has said so. */
  get weightsSha256(): string {
    return this.#header?.weightsSha256 ?? '';
  }

  /**
   * @returns the state's step once it is complete and verified, undefined before.
   * @throws CoordError STATE_UNAVAILABLE (wrong order, sizes or hash), CHECKPOINT_MISMATCH (a state of another model or optimizer).
   */
  accept(message: StateMessage): number | undefined {
    switch (message.type) {
      case 'state-begin':
        this.#header = requireSameShape(message.header, this.buffers, this.from);
        return undefined;
      case 'state-chunk':
        this.#append(message.data);
        return undefined;
      case 'state-end':
        return this.#verify();
    }
    return message satisfies never;
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

  #verify(): number {
    const header = this.#header;
    if (!header || this.#section !== this.#sections.length) throw this.#bad('ended too early');
    const { step, stateSha256, weightsSha256 } = header;
    const intact =
      hashState({ ...this.buffers, step }) === stateSha256 &&
      hashWeights(this.buffers.layout, this.buffers.weights) === weightsSha256;
    if (!intact) throw this.#bad('does not have the hash that it was announced with');
    return step;
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
