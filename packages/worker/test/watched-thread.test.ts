import { turn, VirtualClock } from '@coord/transport/testing';
import { describe, expect, it } from 'vitest';
import type { ComputeThread } from '../src/compute/compute-client.js';
import type { OnProgress } from '../src/compute/requests.js';
import { PATIENCE, WatchedThread } from '../src/compute/watched-thread.js';

const APPLY = { kind: 'apply', step: 0, learningRate: 0.1 } as const;
const COMPILE = { kind: 'compile' } as never;
const { leastMs, factor, firstMs, tickMs } = PATIENCE;

/** Answers when it is told to. */
class ScriptedThread implements ComputeThread {
  readonly #answers: (() => void)[] = [];
  progress: OnProgress = () => {};

  call(_request: unknown, _transfer: unknown, onProgress: OnProgress = () => {}): Promise<never> {
    this.progress = onProgress;
    return new Promise((resolve) => this.#answers.push(() => resolve({} as never)));
  }

  answer(): Promise<void> {
    this.#answers.shift()?.();
    return turn();
  }

  async terminate(): Promise<void> {}
}

function watch() {
  const [clock, scripted] = [new VirtualClock(), new ScriptedThread()];
  const thread = new WatchedThread(scripted, 'compute-0', clock);
  /** How the call has ended so far. */
  const begin = (request: typeof APPLY = APPLY, onProgress?: OnProgress) => {
    const call = { outcome: 'none' };
    thread.call(request, [], onProgress).then(
      () => {
        call.outcome = 'answered';
      },
      ({ code, message }) => {
        call.outcome = `${code}: ${message}`;
      },
    );
    return call;
  };
  const take = async (durationMs: number) => {
    begin();
    await clock.pass(durationMs);
    await scripted.answer();
  };
  return { clock, scripted, thread, begin, take };
}

describe('a compute thread', () => {
  it('is stuck when it is at a call far longer than ever before; all that wait for it hear so, and who asks later', async () => {
    const { clock, begin, take } = watch();
    await take(5);
    const calls = [begin(), begin()];
    await clock.pass(leastMs - 1);
    expect(calls.map(({ outcome }) => outcome)).toEqual(['none', 'none']);
    await clock.pass(1);
    const stuck =
      /^ENGINE_FAILED: compute thread compute-0 is stuck: .* \(apply\) for 15 s; the longest before took 0.005 s$/;
    for (const { outcome } of calls) expect(outcome).toMatch(stuck);
    const late = begin();
    await turn();
    expect(late.outcome).toMatch(stuck);
    expect(clock.pending).toBe(0);
  });

  it('may be as slow as it is: what counts is how long such calls took before', async () => {
    const { clock, scripted, begin, take } = watch();
    const usualMs = 60_000;
    await take(usualMs);
    const call = begin();
    await clock.pass(factor * usualMs - tickMs);
    expect(call.outcome).toBe('none');
    await scripted.answer();
    expect(call.outcome).toBe('answered');
    expect(clock.pending).toBe(0);
  });

  it('has time for its first call of a kind, and all the time for compiling', async () => {
    const { clock, scripted, begin } = watch();
    const compiling = begin(COMPILE);
    await clock.pass(10 * firstMs);
    await scripted.answer();
    expect(compiling.outcome).toBe('answered');
    const first = begin();
    await clock.pass(firstMs - 1);
    expect(first.outcome).toBe('none');
    await clock.pass(1);
    expect(first.outcome).toMatch(/it is the first$/);
  });

  it('lives as long as it tells of parts that are done', async () => {
    const { clock, scripted, begin, take } = watch();
    await take(5);
    let parts = 0;
    const call = begin(APPLY, () => parts++);
    for (let part = 0; part < 4; part++) {
      await clock.pass(leastMs - tickMs);
      scripted.progress({ bucket: part });
    }
    expect(parts).toBe(4);
    expect(call.outcome).toBe('none');
  });

  it('is not stuck when the whole process stood still', async () => {
    let nowMs = 0;
    let fire = () => {};
    const after = (_delayMs: number, callback: () => void) => {
      fire = callback;
      return () => {};
    };
    const scripted = new ScriptedThread();
    const thread = new WatchedThread(scripted, 'compute-0', { nowMs: () => nowMs, after });
    const first = thread.call(APPLY);
    await scripted.answer();
    await first;
    const second = thread.call(APPLY);
    // A timer that is a day late fires once.
    nowMs += 24 * 3600_000;
    fire();
    await scripted.answer();
    await second;
  });
});
