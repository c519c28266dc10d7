import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LedgerRecord } from '@coord/coordinator';
import type { FlightEvent } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { type FlightRecord, readFlightFile } from '../src/timeline/flight-file.js';
import { traceOf } from '../src/timeline/trace.js';

const START = Date.parse('2026-01-31T12:00:00.000Z');

const ledger: LedgerRecord[] = [
  {
    seq: 1,
    time: new Date(START).toISOString(),
    entry: { type: 'view', generation: 1, members: [{ workerId: 'w1', share: 1 }], reason: 'w1 is ready' },
  },
];

/** A worker whose own clock shows `bootMs` at START. */
function flightOf(workerId: string, bootMs: number, events: readonly FlightEvent[]): FlightRecord {
  const who = { runId: 'run', workerId, name: workerId, hostName: 'host', pid: 1 };
  const clock = { offsetMs: START - bootMs, roundTripMs: 1 };
  return {
    header: { kind: 'header', formatVersion: 1, ...who, clock, dropped: 0 },
    events: events.map((event) => ({ ...event, atMs: event.atMs + bootMs })),
  };
}

const EVENTS: FlightEvent[] = [
  { kind: 'phase', atMs: 10, phase: 'compute', step: 3, generation: 1 },
  { kind: 'phase', atMs: 14, phase: 'ring', step: 3, generation: 1 },
  { kind: 'ring', atMs: 14.5, edge: 'begin', operation: 'max', sequence: 0, generation: 1, sizeBytes: 8 },
  { kind: 'ring', atMs: 16, edge: 'end', operation: 'max', sequence: 0, generation: 1, sizeBytes: 8 },
  { kind: 'ring', atMs: 17, edge: 'begin', operation: 'sum', sequence: 1, generation: 1, sizeBytes: 64 },
  { kind: 'failure', atMs: 20, step: 3, generation: 1, code: 'RING_BROKEN', message: 'lost' },
];

describe('a timeline', () => {
  const trace = traceOf(ledger, [flightOf('w1', 5000, EVENTS), flightOf('w2', 70_000, EVENTS)]);
  const named = (name: string) => trace.filter((event) => event.name === name);

  it('puts what happened at the same time at the same place, whatever clocks the workers have', () => {
    expect(named('compute').map(({ pid, ts, dur }) => ({ pid, ts, dur }))).toEqual([
      { pid: 1, ts: 10_000, dur: 4000 },
      { pid: 2, ts: 10_000, dur: 4000 },
    ]);
    expect(named('view 1')).toMatchObject([{ pid: 0, ts: 0, ph: 'i' }]);
  });

  it('has a span for each ring operation, with what became of it', () => {
    expect(named('max 0')[0]).toMatchObject({ ts: 14_500, dur: 1500, args: { outcome: 'end' } });
    expect(named('sum 1')[0]).toMatchObject({ ts: 17_000, dur: 3000, args: { outcome: 'unfinished' } });
  });

  it('shows failures, and names processes and tracks', () => {
    expect(named('RING_BROKEN')).toHaveLength(2);
    const processes = named('process_name').map(({ args }) => args?.name);
    expect(processes).toEqual(['coordinator', 'w1 w1 on host (± 0.50 ms)', 'w2 w2 on host (± 0.50 ms)']);
  });
});

describe('a flight record', () => {
  it('is refused by its name, with the reason, when it is none, or longer than any', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'coord-flight-'));
    const file = join(directory, 'flight-w1.jsonl');
    const { header } = flightOf('w1', 0, []);
    const refusal = (why: RegExp) => ({
      code: 'USAGE',
      message: expect.stringMatching(why),
      hint: expect.stringContaining('--log-dir'),
      facts: { file },
    });
    try {
      await expect(readFlightFile(file)).rejects.toMatchObject(refusal(/ENOENT/));
      await writeFile(file, '');
      await truncate(file, 65 * 1024 * 1024);
      await expect(readFlightFile(file)).rejects.toMatchObject(refusal(/longer than \d+ bytes/));
      for (const [line, number] of [
        ['{"kind":"phase"', 2],
        [JSON.stringify({ ...EVENTS[0], phase: 'lunch' }), 2],
        [JSON.stringify({ ...EVENTS[0], atMs: 1e300 }), 2],
      ] as const) {
        await writeFile(file, `${JSON.stringify(header)}\n${line}\n`);
        await expect(readFlightFile(file)).rejects.toMatchObject(refusal(new RegExp(`line ${number}`)));
      }
      await writeFile(file, `${JSON.stringify(header)}\n${JSON.stringify(EVENTS[0])}\n`);
      expect(await readFlightFile(file)).toEqual({ header, events: [EVENTS[0]] });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
