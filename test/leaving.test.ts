/** Workers come before their coordinator and go with SIGTERM; neither costs a step. */
import { afterEach, describe, expect, it } from 'vitest';
import { coord, endAll, freePort, runCoord, temporaryDirectory } from './support/coord.js';

const env = { COORD_TOKEN: 'leaving-test-token' };
const RUN = ['configs/synthetic-tiny.yaml', '--set', 'epochs=10', '--set', 'maxSteps=300', '--json'];

afterEach(endAll);

describe('a worker', () => {
  it('that is started before its coordinator waits for it; with SIGTERM it says goodbye, and the others go on', async () => {
    const port = await freePort();
    const url = `ws://127.0.0.1:${port}`;
    const [early, patient] = ['early', 'patient'].map((name) =>
      coord(['worker', url, '--name', name, '--json'], { env: { ...env, COORD_FAULT: 'slow-grains=5' } }),
    );
    for (const worker of [early, patient])
      expect(await worker.event('coordinator-awaited')).toMatchObject({ code: 'UNREACHABLE', patienceMs: 30_000 });
    const where = ['--listen', `127.0.0.1:${port}`, '--workers', '0', '--min-workers', '2'];
    const start = coord(['start', ...RUN, ...where, '--run-dir', temporaryDirectory()], { env });
    await start.event(({ event, step }) => event === 'step' && step === 20);
    early.kill('SIGTERM');
    expect(await early.exited).toEqual({ code: 130, signal: null });
    expect(await start.event('worker-lost')).toMatchObject({ name: 'early', left: true });
    expect((await start.exited).code, start.stderr).toBe(0);
    expect(start.events.at(-1)).toMatchObject({ event: 'finished', steps: 300, workers: 1 });
    expect((await patient.exited).code).toBe(0);
  });

  it('that is told not to wait ends at once where nobody is there', async () => {
    const { code, events } = await runCoord(['worker', `ws://127.0.0.1:${await freePort()}`, '--wait', '0', '--json'], {
      env,
    });
    expect(code).toBe(6);
    expect(events.map(({ event, code: error }) => error ?? event)).toEqual(['UNREACHABLE']);
  });
});
