/** A training state on a link: a header, chunks, an end. The header says how long it is; nothing longer is taken. */
import {
  CoordError,
  createLayout,
  headerOfGradually,
  LIMITS,
  type ParameterSpec,
  type StateHeader,
  type StateMessage,
  stateSections,
  type TrainingState,
} from '@coord/protocol';

export interface HashedState {
  readonly header: StateHeader;
  readonly state: TrainingState;
}

/** Resolves when the last message is handed to the link; waits for a slow reader between chunks. */
export async function sendState(
  send: (message: StateMessage) => Promise<void>,
  { header, state }: HashedState,
  chunkBytes: number = LIMITS.stateChunkBytes,
): Promise<void> {
  await send({ type: 'state-begin', header });
  for (const section of stateSections(state)) {
    for (let at = 0; at < section.byteLength; at += chunkBytes) {
      await send({ type: 'state-chunk', data: section.subarray(at, at + chunkBytes) });
    }
  }
  await send({ type: 'state-end' });
}

/** What a state of this run looks like: parameters and slots, by name and order. */
export interface StateShape {
  readonly parameters: readonly ParameterSpec[];
  readonly slots: readonly string[];
}

export const shapeOf = (state: TrainingState): StateShape => ({
  parameters: state.layout.parameters,
  slots: [...state.slots.keys()],
});

const describe = ({ name, shape, role }: ParameterSpec): string => `${role} ${name} [${shape.join(', ')}]`;

/** @throws CoordError CHECKPOINT_MISMATCH naming the first parameter or slot that differs. */
export function checkShape(from: string, header: StateHeader, expected: StateShape): void {
  const wanted = [...expected.parameters.map(describe), ...expected.slots.map((slot) => `slot ${slot}`)];
  const given = [...header.parameters.map(describe), ...header.slots.map((slot) => `slot ${slot}`)];
  const at = wanted.findIndex((text, index) => text !== given[index]);
  if (at < 0 && wanted.length === given.length) return;
  const index = at < 0 ? wanted.length : at;
  throw new CoordError(
    'CHECKPOINT_MISMATCH',
    `${from} sent the state of another model: it has ${given[index] ?? 'nothing'} where this run has ${wanted[index] ?? 'nothing'}`,
    { facts: { from, given: given[index], expected: wanted[index] } },
  );
}

/** Puts a state together from its chunks. Its memory is what this run's own state takes, whatever the sender says. */
export class StateAssembler {
  private readonly state: TrainingState;
  private readonly sections: Uint8Array[];
  private filledBytes = 0;
  private section = 0;

  /** @throws CoordError CHECKPOINT_MISMATCH */
  constructor(
    private readonly from: string,
    private readonly header: StateHeader,
    expected: StateShape,
  ) {
    checkShape(from, header, expected);
    const layout = createLayout(header.parameters);
    this.state = {
      step: header.step,
      layout,
      weights: new Float32Array(layout.totalSize),
      slots: new Map(header.slots.map((slot) => [slot, new Float32Array(layout.totalSize)])),
      exponents: new Uint8Array(layout.blockCount),
    };
    this.sections = stateSections(this.state);
  }

  /** @throws CoordError MESSAGE_INVALID when more arrives than the header announces. */
  add(data: Uint8Array): void {
    let rest = data;
    while (rest.byteLength > 0) {
      const target = this.sections[this.section];
      if (!target) throw this.wrong('is longer than its header says');
      const part = rest.subarray(0, target.byteLength - this.filledBytes);
      target.set(part, this.filledBytes);
      rest = rest.subarray(part.byteLength);
      this.advance(part.byteLength);
    }
  }

  /**
   * Hashes it with pauses: meanwhile others are heard.
   *
   * @throws CoordError MESSAGE_INVALID when it is too short, or has other hashes than its header says.
   */
  async finish(): Promise<HashedState> {
    if (this.section < this.sections.length) throw this.wrong('is shorter than its header says');
    const { header, state } = this;
    const found = await headerOfGradually(state);
    if (found.stateSha256 !== header.stateSha256) throw this.wrong('does not have the hash that its header says');
    if (found.weightsSha256 !== header.weightsSha256) throw this.wrong('has other weights than its header says');
    return { header, state };
  }

  private advance(bytes: number): void {
    this.filledBytes += bytes;
    if (this.filledBytes < this.sections[this.section].byteLength) return;
    this.section++;
    this.filledBytes = 0;
  }

  private wrong(what: string): CoordError {
    return new CoordError('MESSAGE_INVALID', `the state of step ${this.header.step} that ${this.from} sent ${what}`, {
      facts: { from: this.from, step: this.header.step },
    });
  }
}
