/** Workers come before their coordinator and go with SIGTERM; neither costs a step. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { coord, endAll, freePort, runCoord, temporaryDirectory } from './support/coord.js';

const env = { COORD_TOKEN: 'leaving-test-token' };
const RUN = ['configs/synthetic-tiny.yaml', '--set', 'epochs=10', '--set', 'maxSteps=300', '--json'];

afterEach(endAll);

/** What CUDA would show to the children of a process. */
function devicesOf(pid: number): (string | undefined)[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const ofChild = (child: string) => readFileSync(`/proc/${child}/environ`, 'utf8');
  return children.map((child) => /\0CUDA_VISIBLE_DEVICES=([^\0]*)/.exec(ofChild(child))?.[1]).sort();
}

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

  it('for each of several devices sees that one alone; with SIGTERM to the one that started them all say goodbye', async () => {
    const start = coord(['start', ...RUN, '--listen', '127.0.0.1:0', '--workers', '0', '--min-workers', '3'], { env });
    const url = ((await start.event('listening')).urls as string[])[0];
    const slow = { ...env, COORD_FAULT: 'slow-grains=5' };
    const stays = coord(['worker', url, '--name', 'stays', '--json'], { env: slow });
    const both = coord(['worker', url, '--name', 'box', '--devices', '1,0', '--json'], { env: slow });
    await start.event(({ event, step }) => event === 'step' && step === 20);
    const ready = start.events.filter(({ event }) => event === 'worker-ready');
    expect(ready.map(({ name }) => name).sort()).toEqual(['box-gpu0', 'box-gpu1', 'stays']);
    if (process.platform === 'linux') expect(devicesOf(both.pid)).toEqual(['0', '1']);
    both.kill('SIGTERM');
    expect(await both.exited).toEqual({ code: 130, signal: null });
    expect((await start.exited).code, start.stderr).toBe(0);
    expect(
      start.events
        .filter(({ event, left }) => event === 'worker-lost' && left)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['box-gpu0', 'box-gpu1']);
    expect(start.events.at(-1)).toMatchObject({ event: 'finished', steps: 300, workers: 1 });
    expect((await stays.exited).code).toBe(0);
  });

  it('that is told not to wait ends at once where nobody is there', async () => {
    const { code, events } = await runCoord(['worker', `ws://127.0.0.1:${await freePort()}`, '--wait', '0', '--json'], {
      env,
    });
    expect(code).toBe(6);
    expect(events.map(({ event, code: error }) => error ?? event)).toEqual(['UNREACHABLE']);
  });
});
