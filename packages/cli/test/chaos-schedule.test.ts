import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type GenerateOptions, generateSchedule } from '../src/chaos/generate.js';
import { FAULT_KINDS, type Fault, parseSchedule } from '../src/chaos/schedule.js';

const ENDING = ['kill', 'leave', 'coordinator-kill'];
const workerOf = (fault: Fault): number | undefined => ('worker' in fault ? fault.worker : undefined);

const anyOptions: fc.Arbitrary<GenerateOptions> = fc
  .record({
    seed: fc.nat(),
    workers: fc.integer({ min: 1, max: 9 }),
    count: fc.nat(80),
    kinds: fc.subarray([...FAULT_KINDS], { minLength: 1 }),
    unit: fc.constantFrom('atStep' as const, 'atMs' as const),
    from: fc.nat(1000),
    length: fc.nat(100_000),
    spare: fc.nat(9),
  })
  .map(({ unit, from, length, ...rest }) => ({ ...rest, span: { unit, from, to: from + length } }));

describe('a drawn schedule', () => {
  it('is the same for the same options, and another for another seed', () => {
    const options = { seed: 1, workers: 5, count: 60, kinds: FAULT_KINDS, spare: 0 } as const;
    const span = { unit: 'atStep', from: 10, to: 2000 } as const;
    const drawn = generateSchedule({ ...options, span });
    expect(generateSchedule({ ...options, span })).toEqual(drawn);
    expect(generateSchedule({ ...options, span, seed: 2 })).not.toEqual(drawn);
  });

  it('comes through YAML and the schema unchanged', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const schedule = generateSchedule(options);
        expect(parseSchedule(stringify(schedule), 'drawn')).toEqual(schedule);
      }),
    );
  });

  it('has its faults in order, inside its span, of the kinds and on the workers that it may', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const { faults } = generateSchedule(options);
        const times = faults.map((fault) => fault[options.span.unit] as number);
        expect(times).toEqual([...times].sort((a, b) => a - b));
        for (const [index, fault] of faults.entries()) {
          expect(times[index]).toBeGreaterThanOrEqual(options.span.from);
          expect(times[index]).toBeLessThanOrEqual(options.span.to);
          expect(options.kinds).toContain(fault.kind);
          expect(workerOf(fault) ?? 1).toBeLessThanOrEqual(options.workers);
          expect(workerOf(fault) ?? 1).toBeGreaterThanOrEqual(1);
        }
      }),
    );
  });

  it('never ends whom it shall spare', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        for (const fault of generateSchedule(options).faults) {
          if (!ENDING.includes(fault.kind) || options.spare === 0) continue;
          expect(fault.kind).not.toBe('coordinator-kill');
          expect(workerOf(fault)).toBeGreaterThan(options.spare);
        }
      }),
    );
  });

  it('has every kind equally often, but for one', () => {
    const { faults } = generateSchedule({
      ...{ seed: 3, workers: 5, count: 60, kinds: FAULT_KINDS, spare: 0 },
      span: { unit: 'atStep', from: 0, to: 1000 },
    });
    expect(faults).toHaveLength(60);
    const counts = FAULT_KINDS.map((kind) => faults.filter((fault) => fault.kind === kind).length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });
});

describe('a schedule from a file', () => {
  const refuse = (text: string) => {
    try {
      parseSchedule(text, 'faults.yaml');
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('it was accepted');
  };

  it('is refused with the place that is wrong', () => {
    expect(refuse('seed: 1\nworkers: 2\nfaults: [{kind: melt, atStep: 1}]')).toContain('faults.0.kind');
    expect(refuse('seed: 1\nworkers: 2\nfaults: [{kind: kill, atStep: 1, worker: 1}]')).toContain('faults.0.forMs');
    expect(refuse('seed: 1\nworkers: 2\nfaults: [{kind: kill, atStep: 1, worker: 3, forMs: 10}]')).toContain(
      'faults.0.worker: there are 2 workers',
    );
    expect(refuse('seed: 1\nworkers: 2\nfaults: [{kind: join, forMs: 10}]')).toContain('either atStep or atMs');
    expect(refuse('seed: 1\nworkers: 2\nfaults: [{kind: join, forMs: 10, atStep: 1, atMs: 1}]')).toContain('either');
    expect(refuse('[')).toContain('faults.yaml');
    expect(refuse('seed: !one 1\nworkers: 2\nfaults: []')).toMatch(/Unresolved tag: !one at line 1/);
  });
});
