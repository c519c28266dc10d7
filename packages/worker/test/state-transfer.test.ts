import { createLayout, isCoordError, type StateMessage, type TrainingState } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { StateReceiver, sendState } from '../src/state-transfer.js';

const layout = createLayout([
  { name: 'kernel', shape: [700, 400], role: 'trainable' },
  { name: 'bias', shape: [3], role: 'trainable' },
]);
const fill = (seed: number) => Float32Array.from({ length: layout.totalSize }, (_, i) => Math.sin(i * seed));

function exampleState(step: number): TrainingState {
  const exponents = Uint8Array.from({ length: layout.blockCount }, (_, i) => i % 255);
  return {
    step,
    layout,
    weights: fill(1),
    slots: new Map([
      ['m', fill(2)],
      ['v', fill(3)],
    ]),
    exponents,
  };
}

function emptyState(): TrainingState {
  const zeros = () => new Float32Array(layout.totalSize);
  return {
    step: 0,
    layout,
    weights: zeros(),
    slots: new Map([
      ['m', zeros()],
      ['v', zeros()],
    ]),
    exponents: new Uint8Array(layout.blockCount),
  };
}

async function messagesOf(state: TrainingState): Promise<StateMessage[]> {
  const messages: StateMessage[] = [];
  await sendState(state, async (message) => void messages.push(structuredClone(message)));
  return messages;
}

async function receive(messages: readonly StateMessage[], into: TrainingState): Promise<number | undefined> {
  const receiver = new StateReceiver(into, 'worker w1');
  let isWhole = false;
  for (const message of messages) isWhole = receiver.accept(message);
  return isWhole ? receiver.verified() : undefined;
}

describe('a training state on a link', () => {
  it('arrives with the same bytes, in several chunks', async () => {
    const state = exampleState(42);
    const messages = await messagesOf(state);
    expect(messages.length).toBeGreaterThan(5);
    const copy = emptyState();
    expect(await receive(messages, copy)).toBe(42);
    expect(copy.weights).toEqual(state.weights);
    expect(copy.slots).toEqual(state.slots);
    expect(copy.exponents).toEqual(state.exponents);
  });

  it('is refused when a byte has changed on the way', async () => {
    const messages = await messagesOf(exampleState(42));
    const chunk = messages[2];
    if (chunk.type !== 'state-chunk') throw new Error('expected a chunk');
    chunk.data[17] ^= 1;
    await expect(receive(messages, emptyState())).rejects.toThrow(/from worker w1 does not have the hash/);
  });

  it('is refused when parts are missing, surplus or out of order', async () => {
    const messages = await messagesOf(exampleState(42));
    const without = messages.filter((_, index) => index !== 2);
    const surplus = [...messages.slice(0, -1), messages[1], messages.at(-1) as StateMessage];
    for (const wrong of [without, surplus, messages.slice(1)]) {
      await expect(receive(wrong, emptyState())).rejects.toThrow(/ended too early|belong nowhere/);
    }
  });

  it('of another model or optimizer is refused before any byte is taken', async () => {
    const messages = await messagesOf(exampleState(42));
    const other = { ...emptyState(), slots: new Map([['velocity', fill(1)]]) };
    try {
      await receive(messages, other);
      expect.unreachable();
    } catch (error) {
      expect(isCoordError(error, 'CHECKPOINT_MISMATCH')).toBe(true);
    }
  });
});
