/** A worker that hangs: who it is, in which phase, and who waits for it is told within seconds; afterwards one trace shows it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, runCoord, temporaryDirectory } from './support/coord.js';

const TOKEN = 'hang-test-token';
const RUN = ['configs/synthetic-tiny.yaml', '--set', 'epochs=2000', '--listen', '127.0.0.1:0', '--workers', '0'];

afterEach(endAll);

async function why(url: string): Promise<CoordEvent> {
  const { code, events, stderr } = await runCoord(['why', url, '--json']);
  expect(code, stderr).toBe(0);
  return events[0];
}

describe('coord why', () => {
  it('names a stopped worker, its phase and who waits for it; coord timeline shows all of them in one trace', async () => {
    const runDir = temporaryDirectory();
    const start = coord(['start', ...RUN, '--min-workers', '3', '--token', TOKEN, '--run-dir', runDir, '--json']);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const join3 = ['a', 'b', 'c'].map((name) =>
      coord(['worker', urls[0], '--name', name, '--log-dir', join(runDir, 'logs'), '--json'], {
        env: { COORD_TOKEN: TOKEN },
      }),
    );
    const { workerId } = await join3[1].event('joined');
    await start.event('step');
    join3[1].kill('SIGSTOP');
    let found = await why(urls[0]);
    while (found.verdict !== 'silent') found = await why(urls[0]);
    expect(found.worker).toMatchObject({ workerId, name: 'b' });
    expect(found.text).toMatch(
      new RegExp(`^${workerId} \\(b on .*, rank \\d\\) has been silent for .*in phase \\w+ after step \\d+`),
    );
    expect(found.waiters).toHaveLength(2);
    const lost = await start.event('worker-lost');
    expect(lost).toMatchObject({ workerId, left: false });
    join3[1].kill('SIGKILL');
    start.kill('SIGINT');
    await start.exited;
    await Promise.all([join3[0].exited, join3[2].exited]);
    const { code, events, stderr } = await runCoord(['timeline', runDir, '--json']);
    expect(code, stderr).toBe(0);
    const survivors = await Promise.all([join3[0], join3[2]].map(async (one) => (await one.event('joined')).workerId));
    expect(events[0].workers).toEqual(survivors.sort());
    const { traceEvents } = JSON.parse(await readFile(events[0].file as string, 'utf8'));
    const spans = traceEvents.filter((event: { ph: string }) => event.ph === 'X');
    const kinds = [...new Set(spans.map((event: { name: string }) => event.name.split(' ')[0]))];
    const expected = ['waiting', 'syncing', 'compute', 'ring', 'optimizer', 'finished', 'gather', 'max', 'sum'];
    expect(kinds).toEqual(expect.arrayContaining(expected));
  });
});
