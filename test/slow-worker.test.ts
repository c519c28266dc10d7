/** A slow worker is named, and gets fewer grains, and the weights are the same bits as if nothing had been slow. */
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, temporaryDirectory } from './support/coord.js';

const TOKEN = 'shares-test-token';
const RUN = [
  'configs/synthetic-tiny.yaml',
  '--set',
  'epochs=10',
  '--set',
  'maxSteps=120',
  '--listen',
  '127.0.0.1:0',
  '--json',
];

afterEach(endAll);

const weightsAtEnd = (events: readonly CoordEvent[]) => events.find(({ event }) => event === 'finished')?.weightsSha256;

describe('a worker that is slowed down', () => {
  it('is named while the others wait for it, and gets fewer grains by its measured speed; the weights stay the same bits', async () => {
    const reference = coord(['start', ...RUN, '--workers', '1', '--run-dir', temporaryDirectory()]);
    await reference.exited;
    const where = ['--workers', '0', '--min-workers', '2', '--token', TOKEN, '--run-dir', temporaryDirectory()];
    const start = coord(['start', ...RUN, ...where]);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const join = (name: string, fault: string) =>
      coord(['worker', urls[0], '--name', name, '--json'], { env: { COORD_TOKEN: TOKEN, COORD_FAULT: fault } });
    const slow = join('slow', 'slow-grains=72');
    join('quick', 'slow-grains=24');
    const { workerId } = await slow.event('joined');
    const named = await start.event('straggler');
    expect(named).toMatchObject({ workerId, name: 'slow' });
    expect(named.factor).toBeGreaterThan(1.5);
    const status = coord(['status', urls[0].replace('ws:', 'http:'), '--token', TOKEN]);
    await status.exited;
    expect(status.stdout).toMatch(
      /^straggler +slow: [\d.]+ × slower than the others, which wait .* a step for it; for /m,
    );
    const view = await start.event(({ event, reason }) => event === 'view' && /measured speed/.test(String(reason)));
    expect(view.reason).toMatch(new RegExp(`${workerId} 3 → [12]\\b`));
    const over = await start.event('straggler-over');
    expect(over).toMatchObject({ workerId, name: 'slow' });
    expect((await start.exited).code, start.stderr).toBe(0);
    expect(weightsAtEnd(start.events)).toMatch(/^[0-9a-f]{64}$/);
    expect(weightsAtEnd(start.events)).toBe(weightsAtEnd(reference.events));
  });
});
