/** A slow worker gets fewer grains, and the weights are the same bits as if nothing had been slow. */
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, temporaryDirectory } from './support/coord.js';

const TOKEN = 'shares-test-token';
const RUN = [
  'configs/synthetic-tiny.yaml',
  '--set',
  'epochs=10',
  '--set',
  'maxSteps=400',
  '--listen',
  '127.0.0.1:0',
  '--json',
];

afterEach(endAll);

const weightsAtEnd = (events: readonly CoordEvent[]) => events.find(({ event }) => event === 'finished')?.weightsSha256;

describe('a worker that is slowed down', () => {
  it('gets fewer grains by its measured speed; the weights stay the same bits', async () => {
    const reference = coord(['start', ...RUN, '--workers', '1', '--run-dir', temporaryDirectory()]);
    await reference.exited;
    const where = ['--workers', '0', '--min-workers', '2', '--token', TOKEN, '--run-dir', temporaryDirectory()];
    const start = coord(['start', ...RUN, ...where]);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const join = (name: string, fault: string) =>
      coord(['worker', urls[0], '--name', name, '--json'], { env: { COORD_TOKEN: TOKEN, COORD_FAULT: fault } });
    const slow = join('slow', 'slow-grains=20');
    join('quick', '');
    const { workerId } = await slow.event('joined');
    const view = await start.event(({ event, reason }) => event === 'view' && /measured speed/.test(String(reason)));
    expect(view.reason).toMatch(new RegExp(`${workerId} 3 → [12]\\b`));
    expect((await start.exited).code, start.stderr).toBe(0);
    expect(weightsAtEnd(start.events)).toMatch(/^[0-9a-f]{64}$/);
    expect(weightsAtEnd(start.events)).toBe(weightsAtEnd(reference.events));
  });
});
