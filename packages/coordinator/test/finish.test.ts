import { describe, expect, it } from 'vitest';
import { type Finished, judgeFinish } from '../src/finish.js';
import { hashAt } from './fixtures.js';

const finished = (step: number, fault = 0): Finished => ({
  type: 'finished',
  step,
  weightsSha256: hashAt(step, fault),
  stopped: false,
});

const judge = (...said: (Finished | undefined)[]) =>
  judgeFinish(new Map(said.map((one, index) => [`w${index + 1}`, one])));

describe('the end of a run', () => {
  it('comes when everybody has finished with the same weights at the same step', () => {
    expect(judge(finished(8), finished(8))).toMatchObject({ type: 'agreed', finished: { step: 8 } });
  });

  it('does not come while anybody computes, or nobody is there', () => {
    expect(judge(finished(8), undefined)).toEqual({ type: 'not-yet' });
    expect(judge()).toEqual({ type: 'not-yet' });
  });

  it('names the odd one', () => {
    const verdict = judge(finished(8), finished(8, 0.5), finished(8));
    expect(verdict).toMatchObject({ type: 'odd', dissenters: ['w2'], finished: { weightsSha256: hashAt(8) } });
  });

  it('has no winner between two', () => {
    const verdict = judge(finished(8), finished(8, 0.5));
    expect(verdict.type).toBe('split');
    expect(verdict.type === 'split' && verdict.opinions).toContain(hashAt(8, 0.5));
  });
});
