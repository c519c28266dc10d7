import { encodeMessage, headerOf, type WorkerMessage } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashAt, stateAt, stepReport, testRun } from './fixtures.js';
import { Simulation } from './simulation.js';

const RUN = testRun();
const LAST = 8;

const identity = { engine: 'x', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
const VALID: readonly WorkerMessage[] = [
  { type: 'heartbeat', step: 3, generation: 1, phase: 'ring' },
  { type: 'block-request', sha256: hashAt(1) },
  { type: 'state-request' },
  { type: 'ready', endpoint: { host: '192.0.2.1', port: 1 }, identity, step: 0, share: 1, workers: 1 },
  stepReport(1),
  { type: 'evaluation-report', step: 1, epoch: 1, metrics: { loss: 1, correct: 1, samples: 1 }, durationMs: 1 },
  { type: 'ring-failed', generation: 1, step: 1, code: 'RING_BROKEN', message: 'x', suspect: 'w1' },
  { type: 'state-begin', header: headerOf(stateAt(1)) },
  { type: 'state-chunk', data: new Uint8Array(100) },
  { type: 'state-end' },
  { type: 'finished', step: LAST, weightsSha256: hashAt(LAST, 0.5), stopped: false },
];

const valid = fc.constantFrom(...VALID).map((message) => encodeMessage(message));

/** A message of which some bytes were changed, and that was cut off somewhere. */
const mutated = fc
  .tuple(valid, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }), fc.nat())
  .map(([message, changes, cut]) => {
    const bytes = Uint8Array.from(message);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    return cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
  });

const frame = fc.oneof(valid, mutated, fc.uint8Array({ maxLength: 200 }));

describe('whatever anybody sends', () => {
  it('the run goes on and comes to its one result', async () => {
    const property = fc.asyncProperty(fc.array(frame, { maxLength: 12 }), fc.boolean(), async (frames, knowsToken) => {
      const simulation = new Simulation(RUN, 1);
      simulation.join();
      simulation.join();
      await simulation.intrude(frames, knowsToken);
      const { result, leakedTimers } = await simulation.play([]);
      expect(result).toMatchObject({ step: LAST, weightsSha256: hashAt(LAST) });
      expect(leakedTimers).toBe(0);
    });
    await fc.assert(property, { numRuns: 400, interruptAfterTimeLimit: 30_000 });
  });
});
