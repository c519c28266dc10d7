import { describe, expect, it } from 'vitest';
import { diagnose, type Reading, type WorkerReading } from '../src/why/diagnose.js';
import { formatWhy, sentence } from '../src/why/view.js';

const worker = (rank: number, changes: Partial<WorkerReading> = {}): WorkerReading => ({
  workerId: `w${rank + 1}`,
  name: `local-${rank + 1}`,
  hostName: 'host',
  rank,
  phase: 'compute',
  phaseMs: 5,
  step: 40,
  ring: { operation: 'sum', sequence: 80, isDone: true },
  heartbeatAgeMs: 100,
  times: { loadMs: 0, computeMs: 10, waitMs: 1, totalMs: 20 },
  ...changes,
});

/** It waits in the ring for the rank before it. */
const inRing = (rank: number, size: number, phaseMs: number): WorkerReading => {
  const waitsFor = `w${((rank + size - 1) % size) + 1}`;
  return worker(rank, { phase: 'ring', phaseMs, ring: { operation: 'max', sequence: 81, isDone: false, waitsFor } });
};

const readingOf = (workers: readonly WorkerReading[], changes: Partial<Reading> = {}): Reading => ({
  phase: 'training',
  step: 40,
  view: { generation: 1, reason: 'w1, w2 are ready' },
  shortage: null,
  workers: [...workers],
  ...changes,
});

const idsOf = (workers: readonly WorkerReading[]) => workers.map(({ workerId }) => workerId);

describe('a diagnosis', () => {
  it('names the worker that nobody hears, and all who wait for it through others', () => {
    const workers = [inRing(0, 3, 2500), worker(1, { heartbeatAgeMs: 2600 }), inRing(2, 3, 2500)];
    const diagnosis = diagnose(readingOf(workers));
    expect(diagnosis.verdict).toBe('silent');
    expect(diagnosis.worker?.workerId).toBe('w2');
    expect(idsOf(diagnosis.waiters)).toEqual(['w1', 'w3']);
    expect(sentence(readingOf(workers), diagnosis)).toMatch(
      /^w2 \(local-2 on host, rank 1\) has been silent for 2\.6 s; it was last in phase compute after step 40, ring operation sum 80 done; w1, w3 wait for it$/,
    );
  });

  it('names the worker that computes for long while the others wait in the ring', () => {
    const workers = [inRing(0, 3, 4000), inRing(1, 3, 4000), worker(2, { phaseMs: 4100 })];
    const diagnosis = diagnose(readingOf(workers));
    expect(diagnosis.verdict).toBe('busy');
    expect(diagnosis.worker?.workerId).toBe('w3');
    expect(idsOf(diagnosis.waiters)).toEqual(['w1', 'w2']);
  });

  it('blames nobody when all wait in a circle', () => {
    const workers = [0, 1, 2].map((rank) => inRing(rank, 3, 4000));
    expect(diagnose(readingOf(workers))).toMatchObject({ verdict: 'healthy', worker: undefined });
  });

  it('names a straggler when the others spend much of a step on waiting for it', () => {
    const slow = worker(1, { times: { loadMs: 0, computeMs: 40, waitMs: 0, totalMs: 50 } });
    const quick = worker(0, { times: { loadMs: 0, computeMs: 10, waitMs: 30, totalMs: 50 } });
    expect(diagnose(readingOf([quick, slow]))).toMatchObject({ verdict: 'straggler', worker: { workerId: 'w2' } });
  });

  it('says that too few workers are there, or that they are coming up', () => {
    const idle = worker(0, { rank: null, phase: 'waiting' });
    const reason = 'w2 (b) was lost: killed; waiting for workers: 1 of 2 are ready';
    const reading = readingOf([idle], { view: null, shortage: { reason } });
    expect(diagnose(reading).verdict).toBe('waiting');
    expect(formatWhy(reading, diagnose(reading))).toMatch(
      /^w2 \(b\) was lost: killed; .* 1 of 2 are ready\nnext: start more workers/,
    );
    const coming = worker(1, { rank: null, phase: 'compiling' });
    expect(diagnose(readingOf([idle, coming], { view: null })).verdict).toBe('starting');
  });

  it('finds nothing wrong with a run that goes on, and shows who is where', () => {
    const reading = readingOf([worker(0), worker(1)]);
    const text = formatWhy(reading, diagnose(reading));
    expect(text).toContain('nothing holds the run up: training, 40 steps are complete');
    expect(text).toContain('sum 80 done');
  });
});
