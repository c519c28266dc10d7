import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { lockRun, requireFree } from '../src/run-lock.js';
import { temporaryDirectory } from './fixtures.js';

const PROGRAM = `
  import { lockRun } from ${JSON.stringify(new URL('../dist/run-lock.js', import.meta.url).href)};
  try {
    await lockRun(process.argv[1]);
    console.log('locked');
    setInterval(() => {}, 1000);
  } catch (error) {
    console.log(error.code);
  }
`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Another process that wants the lock. @returns what it says */
async function contend(directory: string): Promise<{ said: string; child: ChildProcess }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [said] = await once(child.stdout!, 'data');
  return { said: String(said).trim(), child };
}

const forge = async (directory: string, owner: object): Promise<string> => {
  const file = join(directory, 'coordinator-7.lock');
  const base = { pid: process.pid, hostName: hostname(), startedAt: 'x', since: 'then', released: false };
  await writeFile(file, JSON.stringify({ ...base, ...owner }));
  return file;
};

describe('the lock of a run', () => {
  it('is held by one, and free again when that one lets go', async () => {
    const directory = await temporaryDirectory();
    const lock = await lockRun(directory);
    const failure = { code: 'RUN_LOCKED', facts: { pid: process.pid, hostName: hostname() } };
    await expect(lockRun(directory)).rejects.toMatchObject(failure);
    await expect(requireFree(directory)).rejects.toMatchObject(failure);
    lock.release();
    await requireFree(directory);
    (await lockRun(directory)).release();
    expect(await readdir(directory)).toEqual(['coordinator-2.lock']);
  });

  it('goes to exactly one of many processes that want it at once', async () => {
    const directory = await temporaryDirectory();
    const said = await Promise.all(Array.from({ length: 5 }, () => contend(directory)));
    expect(said.map((one) => one.said).sort()).toEqual([...Array(4).fill('RUN_LOCKED'), 'locked']);
  });

  it('does not outlive its process, whatever kills it', async () => {
    const directory = await temporaryDirectory();
    const { said, child } = await contend(directory);
    expect(said).toBe('locked');
    await expect(requireFree(directory)).rejects.toMatchObject({ facts: { pid: child.pid } });
    child.kill('SIGKILL');
    await once(child, 'exit');
    (await lockRun(directory)).release();
  });

  it('is not held by another process that got the same id later', async () => {
    const directory = await temporaryDirectory();
    await forge(directory, { startedAt: 'long ago' });
    await requireFree(directory);
  });

  it('of another machine counts while that machine touches it', async () => {
    const directory = await temporaryDirectory();
    const file = await forge(directory, { hostName: 'elsewhere', pid: 1 });
    await expect(lockRun(directory)).rejects.toMatchObject({ facts: { hostName: 'elsewhere' } });
    await utimes(file, new Date(), new Date(Date.now() - 60_000));
    const lock = await lockRun(directory);
    expect(await readdir(directory)).toEqual(['coordinator-8.lock']);
    expect(JSON.parse(await readFile(join(directory, 'coordinator-8.lock'), 'utf8'))).toMatchObject({
      pid: process.pid,
      released: false,
    });
    lock.release();
  });

  it('is none where the file is rubbish', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'coordinator-3.lock'), 'rubbish');
    (await lockRun(directory)).release();
  });
});
