import { hashState, headerOf, type StateMessage, type TrainingState } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StateAssembler, sendState, shapeOf } from '../src/state-transfer.js';
import { stateAt } from './fixtures.js';

async function messagesOf(state: TrainingState, chunkBytes: number): Promise<StateMessage[]> {
  const messages: StateMessage[] = [];
  await sendState(async (message) => void messages.push(message), { header: headerOf(state), state }, chunkBytes);
  return messages;
}

async function assemble(messages: readonly StateMessage[], expected = shapeOf(stateAt(0))) {
  let assembler: StateAssembler | undefined;
  for (const message of messages) {
    if (message.type === 'state-begin') assembler = new StateAssembler('w1 (test)', message.header, expected);
    else if (message.type === 'state-chunk') assembler!.add(message.data);
  }
  return assembler!.finish();
}

describe('a state on a link', () => {
  it('arrives the same, whatever the chunks', async () => {
    const state = stateAt(5);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9000 }), async (chunkBytes) => {
        const arrived = await assemble(await messagesOf(state, chunkBytes));
        expect(hashState(arrived.state)).toBe(hashState(state));
        expect(arrived.state.layout).toEqual(state.layout);
      }),
      { numRuns: 50 },
    );
  });

  it('is refused when it is shorter or longer than its header says', async () => {
    const messages = await messagesOf(stateAt(5), 1000);
    const shorter = [...messages.slice(0, -2), messages.at(-1)!];
    await expect(assemble(shorter)).rejects.toThrow(/shorter than its header says/);
    const longer = [...messages.slice(0, -1), { type: 'state-chunk' as const, data: new Uint8Array(1) }];
    await expect(assemble(longer)).rejects.toThrow(/longer than its header says/);
  });

  it('is refused when any byte of it is changed', async () => {
    const messages = await messagesOf(stateAt(5), 100_000);
    const property = fc.asyncProperty(
      fc.nat({ max: 2 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      async (chunk, at, change) => {
        const changed = messages.map((message, index) => {
          if (message.type !== 'state-chunk' || index !== chunk + 1) return message;
          const data = Uint8Array.from(message.data);
          data[at % data.length] ^= change;
          return { ...message, data };
        });
        await expect(assemble(changed)).rejects.toThrow(/does not have the hash/);
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });

  it('is refused when its weights are not those that its header names', async () => {
    const state = stateAt(5);
    const header = { ...headerOf(state), weightsSha256: headerOf(stateAt(6)).weightsSha256 };
    const [, ...rest] = await messagesOf(state, 1000);
    await expect(assemble([{ type: 'state-begin', header }, ...rest])).rejects.toThrow(
      /other weights than its header says/,
    );
  });

  it('of another model is refused before any memory is taken for it', () => {
    const header = headerOf(stateAt(1));
    const [kernel, bias] = header.parameters;
    const huge = { ...header, parameters: [{ ...kernel, shape: [2 ** 20, 2 ** 20] }, bias] };
    const build = (changed: typeof header) => () => new StateAssembler('w1 (test)', changed, shapeOf(stateAt(0)));
    expect(build(huge)).toThrow(
      /dense\/kernel \[1048576, 1048576\] where this run has trainable dense\/kernel \[20, 30\]/,
    );
    expect(build({ ...header, parameters: [kernel] })).toThrow(
      /slot momentum where this run has trainable dense\/bias/,
    );
    expect(build({ ...header, slots: [] })).toThrow(/it has nothing where this run has slot momentum/);
    expect(build({ ...header, slots: ['momentum', 'variance'] })).toThrow(/slot variance where this run has nothing/);
  });
});
