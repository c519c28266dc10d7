/** Who counts as a worker of this machine, and ends with the run. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostname, tmpdir } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { launchLocalWorkers } from '../src/local-workers.js';

/** A process that has nothing to do with the run, or that is its worker: that is for its token to say. */
async function startProcess() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe('a worker that has come back from an earlier start', () => {
  it.each([
    ['was given the token of local workers, is ended with the run', 't3', true],
    ['joined with another token, kills nobody by saying that it is process so-and-so of this machine', 't1', false],
    ['joined before tokens were written down, kills nobody either', undefined, false],
  ])('and %s', async (_name, tokenId, isEnded) => {
    const child = await startProcess();
    const former = { workerId: 'w4', name: 'local-1', hostName: hostname(), pid: child.pid, tokenId };
    const workers = launchLocalWorkers({
      count: 0,
      arrangement: 'processes',
      url: 'ws://127.0.0.1:1',
      token: 'of local workers',
      tokenIds: new Set(['t3']),
      returned: Promise.resolve([former]),
      logsDirectory: tmpdir(),
      onExit() {},
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(workers.running()).toBe(isEnded ? 1 : 0);
    const exited = once(child, 'exit');
    await workers.end(0);
    if (isEnded) await exited;
    expect(child.signalCode).toBe(isEnded ? 'SIGKILL' : null);
  });
});
