/** Narrow wire formats: fewer bits travel, training still converges, and the weights still do not depend on who computes. */
import { afterEach, describe, expect, it } from 'vitest';
import { coord, endAll, runCoord, temporaryDirectory } from './support/coord.js';

afterEach(endAll);

const startArgs = (wire: string, grains: number, workers: number): string[] => [
  'start',
  'configs/mnist-mlp.yaml',
  ...[
    `ring.wire=${wire}`,
    `batch.grains=${grains}`,
    `batch.grainSize=${64 / grains}`,
    'local=processes',
    'data.limit.train=3200',
    'data.limit.test=1000',
    'epochs=2',
  ].flatMap((setting) => ['--set', setting]),
  ...['--json', '--listen', '127.0.0.1:0', '--workers', String(workers), '--run-dir', temporaryDirectory()],
];

async function finished(wire: string, grains: number, workers: number) {
  const process = coord(startArgs(wire, grains, workers));
  const exit = await process.exited;
  expect(exit, process.stderr).toEqual({ code: 0, signal: null });
  return process.events.at(-1) as { event: string; weightsSha256: string; testAccuracy: number };
}

describe('training mnist-mlp with a narrow wire format', () => {
  it.each([
    ['int16', 8],
    ['int8', 4],
  ])('converges in %s, to the same bits on two processes as on one', async (wire, grains) => {
    const [one, two] = [await finished(wire, grains, 1), await finished(wire, grains, 2)];
    expect(two.weightsSha256).toBe(one.weightsSha256);
    expect(one.testAccuracy).toBeGreaterThan(0.75);
  });

  it('is refused where the format has too few bits for so many grains, with the number that fits', async () => {
    const { code, stdout } = await runCoord(startArgs('int8', 16, 1));
    expect(code).not.toBe(0);
    expect(stdout).toContain('int8 has too few bits for the sum of 16 grains');
    expect(stdout).toContain('at most 15');
  });
});
