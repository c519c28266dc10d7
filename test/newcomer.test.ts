/** A newcomer copies the state while the others train, and enters the ring level with them: nobody waits for a copy. */
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, runCoord, temporaryDirectory } from './support/coord.js';

const TOKEN = 'newcomer-test-token';
const RUN = [
  'configs/synthetic-tiny.yaml',
  ...['epochs=400', 'maxSteps=400', 'checkpoint.everySteps=0'].flatMap((setting) => ['--set', setting]),
  ...['--listen', '127.0.0.1:0', '--json'],
];

afterEach(endAll);

const weightsAtEnd = (events: readonly CoordEvent[]) => events.find(({ event }) => event === 'finished')?.weightsSha256;

describe('a worker that joins in the middle', () => {
  it('comes level while the others train, from several of them; the weights end as the same bits', async () => {
    const runDir = temporaryDirectory();
    const env = { COORD_TOKEN: TOKEN };
    const where = ['--workers', '0', '--min-workers', '2', '--token', TOKEN, '--run-dir', runDir];
    const start = coord(['start', ...RUN, ...where]);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    // Slow enough that the run is not over before the third has started, however fast the machine.
    const slowEnv = { ...env, COORD_FAULT: 'slow-grains=10' };
    for (const name of ['first', 'second']) coord(['worker', urls[0], '--name', name, '--json'], { env: slowEnv });
    await start.event('step');
    const late = coord(['worker', urls[0], '--name', 'late', '--json', '--verbose'], { env });
    const view = await start.event(({ event, members }) => event === 'view' && (members as string[]).length === 3);
    await start.event(({ event, generation }) => event === 'recovered' && generation === view.generation);
    expect((await start.exited).code, start.stderr).toBe(0);
    expect((await late.exited).code).toBe(0);
    const log = late.stderr;
    expect(log).toMatch(/"sources":\[\d,\d\].*caught up while the others train/);
    const reference = await runCoord(['start', ...RUN, '--workers', '1', '--run-dir', temporaryDirectory()]);
    expect(weightsAtEnd(start.events)).toMatch(/^[0-9a-f]{64}$/);
    expect(weightsAtEnd(start.events)).toBe(weightsAtEnd(reference.events));
  });
});
