/**
 * Loaded into every process of a chaos run (`node --import`), before the program. On SIGUSR2 it reads by how much the wall
 * clock shall be wrong, and writes down what the process holds, which only it can count. Nothing of the program knows of it.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { clockFile, DIRECTORY_VARIABLE, holdingsFile } from './inside-files.js';
import { endWithParent } from './parent.js';

const directory = process.env[DIRECTORY_VARIABLE];
if (isMainThread && directory !== undefined) {
  endWithParent(() => process.kill(process.pid, 'SIGKILL'));
  watch(directory);
}

function watch(at: string): void {
  let offsetMs = 0;
  const { now } = Date;
  const RealDate = Date;
  // `new Date()` without arguments and `Date.now()` are wrong; the monotonic clock is right, as after a real jump.
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now() + offsetMs] : args, newTarget),
    get: (target, key, receiver) => (key === 'now' ? () => now() + offsetMs : Reflect.get(target, key, receiver)),
  });
  process.on('SIGUSR2', () => {
    offsetMs = readOffset(at) ?? offsetMs;
    writeHoldings(at);
  });
  writeHoldings(at);
}

function readOffset(at: string): number | undefined {
  try {
    return Number(readFileSync(join(at, clockFile(process.pid)), 'utf8'));
  } catch {
    return undefined;
  }
}

/** Written aside and renamed, so that nobody reads half of it. */
function writeHoldings(at: string): void {
  const handles = process.getActiveResourcesInfo().length;
  const { heapUsed } = process.memoryUsage();
  const file = join(at, holdingsFile(process.pid));
  writeFileSync(`${file}.new`, JSON.stringify({ handles, heapBytes: heapUsed }));
  renameSync(`${file}.new`, file);
}
