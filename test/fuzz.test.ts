/** Every parser of what comes from outside, fed with what is almost right. Many more inputs: npm run fuzz -- 1000000. */
import { describe, expect, it } from 'vitest';
import { fuzz } from './fuzz/fuzz.js';
import { TARGETS } from './fuzz/targets.js';

const COUNT = Number(process.env.COORD_FUZZ ?? 1000);
const SEED = Number(process.env.COORD_FUZZ_SEED ?? 1);
const ONLY = process.env.COORD_FUZZ_ONLY;

const targets = TARGETS.filter(({ name }) => ONLY === undefined || name === ONLY);

describe(`${COUNT} inputs`, () => {
  it.each(targets)('$name: accepted, or refused by a typed error', { timeout: 24 * 3600_000 }, async (target) => {
    const report = await fuzz(target, COUNT, SEED);
    if (process.env.COORD_FUZZ !== undefined) process.stdout.write(`${JSON.stringify(report)}\n`);
    // A target that refuses everything would reach nothing behind its first check.
    expect(report.accepted).toBeGreaterThan(0);
  });
});
