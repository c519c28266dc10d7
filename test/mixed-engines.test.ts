/** One run, several engines: gradients differ in their last bits, their integer sum is the same for everybody. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, type CoordProcess, coord, endAll, temporaryDirectory } from './support/coord.js';

const STEPS = 20;
const TOKEN = 'mixed-engines-test-token';

/** A GPU in software, of Debian's package chromium-common. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const hasSoftwareGpu = existsSync(SWIFTSHADER);
const reason = hasSoftwareGpu ? '' : ' (skipped: no SwiftShader; install chromium-common and libvulkan1)';

async function startRun(workers: number): Promise<{ run: CoordProcess; url: string }> {
  const run = coord([
    'start',
    'configs/synthetic-tiny.yaml',
    '--json',
    ...['--listen', '127.0.0.1:0', '--workers', '0', '--min-workers', String(workers), '--token', TOKEN],
    ...['--set', `maxSteps=${STEPS}`, '--run-dir', join(temporaryDirectory(), 'run')],
  ]);
  const { url } = await run.event('started');
  return { run, url: url as string };
}

async function last(process: CoordProcess, event: string): Promise<CoordEvent> {
  expect(await process.exited, process.stderr).toEqual({ code: 0, signal: null });
  return process.event(event);
}

async function train(engines: readonly string[], env: Record<string, string> = {}) {
  const { run, url } = await startRun(engines.length);
  const workers = engines.map((engine) =>
    coord(['worker', url, '--engine', engine, '--name', engine, '--json'], { env: { COORD_TOKEN: TOKEN, ...env } }),
  );
  const finished = await last(run, 'finished');
  const replicas = await Promise.all(workers.map((worker) => last(worker, 'worker-finished')));
  return { run, finished, hashes: replicas.map(({ weightsSha256 }) => weightsSha256) };
}

const enginesOf = (run: CoordProcess) =>
  Object.fromEntries(
    run.events
      .filter(({ event }) => event === 'worker-ready')
      .map(({ name, engine }) => [name, String(engine).split(' ')[0]]),
  );

afterEach(endAll);

describe('a run on mixed engines', () => {
  it('finishes with bit-identical replicas on ort and tfjs-cpu', async () => {
    const { run, finished, hashes } = await train(['ort', 'tfjs-cpu']);
    expect(enginesOf(run)).toEqual({ ort: 'ort', 'tfjs-cpu': 'tfjs-cpu' });
    expect(finished).toMatchObject({ steps: STEPS, workers: 2 });
    expect(hashes).toEqual([finished.weightsSha256, finished.weightsSha256]);
  });

  it.skipIf(!hasSoftwareGpu)(`finishes with bit-identical replicas on CPU and GPU${reason}`, async () => {
    const engines = ['ort', 'ort-webgpu', 'tfjs-webgpu'];
    const { run, finished, hashes } = await train(engines, { VK_DRIVER_FILES: SWIFTSHADER });
    expect(enginesOf(run)).toEqual(Object.fromEntries(engines.map((engine) => [engine, engine])));
    expect(finished).toMatchObject({ steps: STEPS, workers: 3 });
    expect(hashes).toEqual(engines.map(() => finished.weightsSha256));
  });
});

describe('a worker whose engine does not work here', () => {
  it('says why and leaves, and the run goes on', async () => {
    const { run, url } = await startRun(1);
    const env = { COORD_TOKEN: TOKEN };
    const refused = coord(['worker', url, '--engine', 'ort-webgpu', '--workers', '2', '--json'], { env });
    expect(await refused.exited).toEqual({ code: 2, signal: null });
    expect(refused.events.at(-1)).toMatchObject({ event: 'error', code: 'ENGINE_UNAVAILABLE', exitCode: 2 });
    const worker = coord(['worker', url, '--engine', 'ort', '--json'], { env });
    expect(await last(run, 'finished')).toMatchObject({ steps: STEPS });
    await last(worker, 'worker-finished');
  });
});
