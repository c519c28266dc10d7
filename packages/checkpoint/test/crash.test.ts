/** Real processes that die by SIGKILL. They run the built package (dist). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findCheckpoints, latestCheckpoint, loadCheckpoint, saveCheckpoint } from '../src/index.js';
import { infoOfStep, stateOfStep } from './children/states.mjs';
import { scratch } from './scratch.js';

function start(name: string, ...values: (string | number)[]) {
  const file = fileURLToPath(new URL(`children/${name}`, import.meta.url));
  const child = spawn(process.execPath, [file, ...values.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe('a process that dies while it saves', () => {
  it('leaves all older checkpoints intact, at whichever file operation it dies', async () => {
    let crashes = 0;
    for (let survived = false; !survived; crashes++) {
      const runDir = await scratch();
      const [code, signal] = await once(start('crash-at.mjs', runDir, crashes), 'exit');
      survived = code === 0;
      expect(survived || signal === 'SIGKILL').toBe(true);
      await expectIntact(runDir, survived ? [3] : [2, 3]);
    }
    // mkdir, three files (open, writes, sync), directories (open, sync), readdir, renames, rm …: dying early would prove little.
    expect(crashes).toBeGreaterThan(20);
  });

  it('leaves the last step that it reported, or a later one, when it is killed from outside', async () => {
    const runDir = await scratch();
    let next = 1;
    for (let round = 0; round < 4; round++) {
      const child = start('save-loop.mjs', runDir, next);
      const reported = await lineNumber(child.stdout, round + 1);
      child.kill('SIGKILL');
      await once(child, 'exit');
      const latest = await latestCheckpoint(runDir);
      expect(latest!.step).toBeGreaterThanOrEqual(reported);
      expect((await loadCheckpoint(latest!.path)).state).toEqual(stateOfStep(latest!.step, 200));
      next = latest!.step + 1;
    }
  });
});

/** The newest is one of `steps`, two are whole with the right values, and the next save cleans up. */
async function expectIntact(runDir: string, steps: readonly number[]): Promise<void> {
  const found = await findCheckpoints(runDir);
  expect(found.length).toBeGreaterThanOrEqual(2);
  expect(steps).toContain(found.at(-1)?.step);
  for (const { path, step } of found) expect((await loadCheckpoint(path)).state).toEqual(stateOfStep(step));
  await saveCheckpoint(runDir, stateOfStep(4), infoOfStep(4), { keepLast: 1 });
  expect(await readdir(join(runDir, 'checkpoints'))).toEqual(['step-00000004']);
}

/** Reads lines until the n-th and returns it as a number. */
async function lineNumber(stream: NodeJS.ReadableStream, n: number): Promise<number> {
  let seen = 0;
  for await (const line of createInterface({ input: stream })) if (++seen === n) return Number(line);
  throw new Error(`the process ended after ${seen} lines`);
}
