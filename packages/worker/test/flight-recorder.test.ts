import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FlightHeader, flightEventSchema, flightHeaderSchema } from '@coord/protocol';
import { createRing } from '@coord/ring';
import { describe, expect, it } from 'vitest';
import { ClockOffsetEstimate } from '../src/clock-offset.js';
import { FlightRecorder, flightFile, formatFlightRecord, writeFlightRecord } from '../src/flight-recorder.js';
import { recordRing } from '../src/recorded-ring.js';

const HEADER: FlightHeader = {
  kind: 'header',
  formatVersion: 1,
  runId: 'run',
  workerId: 'w3',
  name: 'third',
  hostName: 'host',
  pid: 1,
  clock: { offsetMs: 5, roundTripMs: 1 },
  dropped: 0,
};

function recorderOf(capacity: number, count: number): FlightRecorder {
  let nowMs = 0;
  const recorder = new FlightRecorder(() => nowMs++, capacity);
  for (let step = 0; step < count; step++) recorder.record({ kind: 'phase', phase: 'compute', step, generation: 1 });
  return recorder;
}

describe('a flight recorder', () => {
  it('keeps all events while there is room', () => {
    const recorder = recorderOf(4, 3);
    expect(recorder.events().map(({ atMs }) => atMs)).toEqual([0, 1, 2]);
    expect(recorder.dropped).toBe(0);
  });

  it('is written to the directory that it is to be written to, whatever the coordinator calls its worker', () => {
    expect(flightFile('logs', 'w3')).toBe(join('logs', 'flight-w3.jsonl'));
    expect(flightFile('logs', '/../../../../etc/cron.d/x', 'diverged-step-3')).toBe(
      join('logs', 'diverged-step-3-_____________etc_cron_d_x.jsonl'),
    );
  });

  it.each([4, 5, 7, 8, 9])('keeps the last events, oldest first, after %i of them in 4 places', (count) => {
    const recorder = recorderOf(4, count);
    expect(recorder.events().map(({ atMs }) => atMs)).toEqual([count - 4, count - 3, count - 2, count - 1]);
    expect(recorder.dropped).toBe(count - 4);
  });

  it('is written as lines that its schemas accept', async () => {
    const file = flightFile(await mkdtemp(join(tmpdir(), 'coord-flight-')), 'w3');
    await writeFlightRecord(file, formatFlightRecord(HEADER, recorderOf(4, 6).events()));
    const [first, ...rest] = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(flightHeaderSchema.parse(JSON.parse(first))).toEqual(HEADER);
    expect(rest.map((line) => flightEventSchema.parse(JSON.parse(line)).atMs)).toEqual([2, 3, 4, 5]);
  });
});

describe('a recorded ring', () => {
  const view = {
    runId: 'run',
    generation: 7,
    members: [{ workerId: 'w1', name: 'one', endpoint: { host: '127.0.0.1', port: 1 }, share: 1 }],
    ringKey: 'k'.repeat(32),
    reason: '',
  };

  it('numbers its operations and records begin and end of each', async () => {
    const recorder = new FlightRecorder();
    const ring = createRing({ rank: 0, size: 1, next: undefined, prev: undefined, timeoutMs: 1000 });
    const recorded = recordRing(ring, recorder, view);
    expect(recorded.activity).toBeUndefined();
    await recorded.allReduceMax(Uint8Array.of(1, 2));
    await recorded.allReduceSum(Int32Array.of(3));
    const told = recorder
      .events()
      .map((event) => (event.kind === 'ring' ? [event.edge, event.operation, event.sequence] : []));
    expect(told).toEqual([
      ['begin', 'max', 0],
      ['end', 'max', 0],
      ['begin', 'sum', 1],
      ['end', 'sum', 1],
    ]);
    const ends = recorder
      .events()
      .flatMap((event) => (event.kind === 'ring' && event.edge === 'end' ? [event.waitedMs] : []));
    expect(ends).toEqual([0, 0]);
    expect(recorded.activity).toEqual({ operation: 'sum', sequence: 1, isDone: true, waitsFor: undefined });
  });

  it('tells of an operation that failed', async () => {
    const recorder = new FlightRecorder();
    const ring = createRing({ rank: 0, size: 1, next: undefined, prev: undefined, timeoutMs: 1000 });
    const recorded = recordRing(ring, recorder, view);
    await recorded.close();
    await expect(recorded.allReduceSum(Int32Array.of(1))).rejects.toMatchObject({ code: 'VIEW_CHANGED' });
    expect(recorder.events().at(-1)).toMatchObject({ edge: 'failed', operation: 'sum', generation: 7 });
    expect(recorded.activity?.isDone).toBe(false);
  });
});

describe('an estimate of the other clock', () => {
  it('is unknown before the first echo', () => {
    expect(new ClockOffsetEstimate().best).toBeNull();
  });

  it('takes the quickest exchange, which is wrong by half its round trip at most', () => {
    const estimate = new ClockOffsetEstimate();
    // The other clock is 1000 ms ahead; the ways there and back are unlike.
    estimate.add(0, 1000 + 30, 40);
    estimate.add(100, 1100 + 1, 104);
    estimate.add(200, 1200 + 9, 210);
    expect(estimate.best).toEqual({ offsetMs: 999, roundTripMs: 4 });
  });
});
