import { createLayout } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { HostState } from '../src/host-state.js';
import { StepProgress } from '../src/step-progress.js';

const layout = createLayout([{ name: 'kernel', shape: [3, 5], role: 'trainable' }]);
const newState = (): HostState =>
  new HostState(layout, new Float32Array(layout.totalSize), new Map(), new Uint8Array(layout.blockCount), () => 0);

const outcome = { metrics: { loss: 0, correct: 0, samples: 8 }, overflow: false, nonFinite: false };

describe('the grains of the step in progress', () => {
  it('survive a change of view, but not a copied state, though the view of the copy failed before it was agreed on', async () => {
    const state = newState();
    let isClear = true;
    const clear = () => {
      isClear = true;
    };
    const progress = new StepProgress({ clear, isSpent: false }, state);
    progress.outcomes.set(3, outcome);
    isClear = false;
    progress.dropVoid();
    expect([...progress.grainsHeld()]).toEqual([3]);
    const ahead = { ...(await newState().snapshot()), step: 7 };
    ahead.weights.fill(0.5);
    state.replace(ahead, 'a'.repeat(64));
    // The next view begins with a record of what is held.
    progress.dropVoid();
    expect([...progress.grainsHeld()]).toEqual([]);
    expect(isClear).toBe(true);
    expect(state).toMatchObject({ step: 7, weightsSha256: 'a'.repeat(64) });
    expect(state.weights.every((weight) => weight === 0.5)).toBe(true);
    progress.outcomes.set(1, outcome);
    progress.dropVoid();
    expect([...progress.grainsHeld()]).toEqual([1]);
  });

  it('are dropped where they have gone into a mean of which no update was made', () => {
    const compute = {
      isSpent: false,
      clear() {
        compute.isSpent = false;
      },
    };
    const progress = new StepProgress(compute, newState());
    progress.outcomes.set(3, outcome);
    compute.isSpent = true;
    progress.dropVoid();
    expect([...progress.grainsHeld()]).toEqual([]);
    progress.outcomes.set(4, outcome);
    progress.dropVoid();
    expect([...progress.grainsHeld()]).toEqual([4]);
  });
});
