/** A drained worker leaves at a step boundary, its process ends well, and the weights are the same bits. */
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, runCoord, temporaryDirectory } from './support/coord.js';

const TOKEN = 'drain-test-token';
const RUN = ['configs/synthetic-tiny.yaml', '--set', 'epochs=20', '--set', 'maxSteps=800', '--json'];

afterEach(endAll);

const weightsAtEnd = (events: readonly CoordEvent[]) => events.find(({ event }) => event === 'finished')?.weightsSha256;

describe('coord drain', () => {
  it('takes a worker out without a lost step, and refuses strangers and the last worker', async () => {
    const reference = coord(['start', ...RUN, '--workers', '1', '--run-dir', temporaryDirectory()]);
    await reference.exited;
    const where = ['--workers', '0', '--min-workers', '2', '--token', TOKEN, '--run-dir', temporaryDirectory()];
    const start = coord(['start', ...RUN, ...where]);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const join = (name: string) =>
      coord(['worker', urls[0], '--name', name, '--json'], { env: { COORD_TOKEN: TOKEN } });
    const [, second] = [join('first'), join('second')];
    await start.event('step');
    const drained = await runCoord(['drain', 'second', '--url', urls[0], '--json']);
    expect({ code: drained.code, stderr: drained.stderr }).toEqual({ code: 0, stderr: '' });
    expect(drained.events[0]).toMatchObject({ event: 'draining' });
    expect(await second.exited).toEqual({ code: 0, signal: null });
    expect(await start.event('worker-lost')).toMatchObject({ name: 'second', left: true });
    const [stranger, last] = await Promise.all(
      ['nobody', 'first'].map((name) => runCoord(['drain', name, '--url', urls[0], '--json'])),
    );
    expect(stranger.code).toBe(2);
    expect(stranger.events.concat(last.events).map(({ code }) => code)).toEqual(['USAGE', 'USAGE']);
    expect(last.code).toBe(2);
    expect((await start.exited).code, start.stderr).toBe(0);
    expect(weightsAtEnd(start.events)).toMatch(/^[0-9a-f]{64}$/);
    expect(weightsAtEnd(start.events)).toBe(weightsAtEnd(reference.events));
  });
});
