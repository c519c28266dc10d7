/**
 * The host's replica of the training state, and who may look at it when. The weights change only inside `mutate`; a
 * snapshot taken outside is always of one completed step.
 */
import type { Layout, TrainingState } from '@coord/protocol';
import { snapshotOf } from './state-transfer.js';

export class HostState {
  step = 0;
  /** Of the weights as they are: whoever changes them changes it too. */
  weightsSha256 = '';
  #mutation: Promise<unknown> = Promise.resolve();

  constructor(
    readonly layout: Layout,
    readonly weights: Float32Array,
    readonly slots: ReadonlyMap<string, Float32Array>,
    readonly exponents: Uint8Array,
  ) {}

  /** Runs `change`, which moves the state from one completed step to another, with nobody looking. */
  mutate<T>(change: () => Promise<T>): Promise<T> {
    const running = change();
    this.#mutation = running.catch(() => undefined);
    return running;
  }

  /** A copy of the state as of the last completed step. */
  async snapshot(): Promise<TrainingState> {
    await this.#mutation;
    return snapshotOf(this);
  }
}
