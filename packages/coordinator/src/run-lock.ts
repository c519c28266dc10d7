/**
 * Run lock: at most one coordinator leads a run. Node has no advisory locks, so the lock is a series of small files
 * `coordinator-N.lock`, of which the highest counts. It is taken by creating the next one, which only one of several can, and
 * only when the process that wrote the highest is gone. What `kill -9` leaves behind bars nobody.
 *
 * Whether a process is gone is known on its own machine: by its id, and by when it started, because ids are used again. Of another
 * machine (a shared disk, a container) the file's age tells: its owner touches it while it lives.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { link, readdir, stat, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { asideOf, errnoOf, isRunning, readTextLimited, writing } from '@coord/disk';
import { CoordError } from '@coord/protocol';
import { z } from 'zod';

const NAME = /^coordinator-(\d{1,9})\.lock$/;
const TOUCH_EVERY_MS = 2000;
/** An owner on another machine that has not touched its lock for so long is gone. */
const SILENT_MS = 15_000;
const MAX_ATTEMPTS = 20;
const MAX_LOCK_BYTES = 4096;

const ownerSchema = z.object({
  pid: z.number().int(),
  hostName: z.string(),
  /** When the process started, in a form that only equals itself; empty where the system does not say. */
  startedAt: z.string(),
  since: z.string(),
  released: z.boolean(),
});
type Owner = z.infer<typeof ownerSchema>;

interface Held {
  readonly number: number;
  readonly file: string;
  readonly owner: Owner | undefined;
}

export interface RunLock {
  release(): void;
}

/** @throws CoordError RUN_LOCKED when another coordinator lives, CHECKPOINT_WRITE_FAILED. */
export async function lockRun(runDir: string): Promise<RunLock> {
  const owner: Owner = {
    pid: process.pid,
    hostName: hostname(),
    startedAt: startOf(process.pid),
    since: new Date().toISOString(),
    released: false,
  };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const highest = await findHighest(runDir);
    if (highest?.owner && (await lives(highest, runDir))) throw locked(runDir, highest.owner);
    const number = (highest?.number ?? 0) + 1;
    const taken = await take(runDir, number, owner);
    if (taken === undefined) continue;
    if ((await findHighest(runDir))?.number === number) return hold(taken, owner, highest);
    // Others have come and gone since the highest was looked for, so that this number was free again; theirs count.
    unlinkQuietly(taken);
  }
  throw new Error(`${runDir}: its lock changes hands too fast`);
}

/** @throws CoordError RUN_LOCKED when a coordinator leads this run now. */
export async function requireFree(runDir: string): Promise<void> {
  const highest = await findHighest(runDir);
  if (highest?.owner && (await lives(highest, runDir))) throw locked(runDir, highest.owner);
}

async function findHighest(runDir: string): Promise<Held | undefined> {
  const numbers = (await readdir(runDir)).flatMap((name) => Number(NAME.exec(name)?.[1] ?? 0) || []);
  if (numbers.length === 0) return undefined;
  const number = Math.max(...numbers);
  const file = fileOf(runDir, number);
  return { number, file, owner: await readOwner(file) };
}

const fileOf = (runDir: string, number: number): string => join(runDir, `coordinator-${number}.lock`);

/** Undefined when nobody can be made out: a lock comes into being with its content, so this one is no lock. */
async function readOwner(file: string): Promise<Owner | undefined> {
  try {
    return ownerSchema.parse(JSON.parse(await readTextLimited(file, MAX_LOCK_BYTES)));
  } catch {
    return undefined;
  }
}

/** @returns the file; undefined when somebody else was faster. */
async function take(runDir: string, number: number, owner: Owner): Promise<string | undefined> {
  const file = fileOf(runDir, number);
  return (await writing(file, () => createWhole(runDir, file, owner))) ? file : undefined;
}

/** Not synced: after a power cut no owner is left. @returns false when the file was there. */
async function createWhole(runDir: string, file: string, owner: Owner): Promise<boolean> {
  const aside = asideOf(join(runDir, 'coordinator.lock'));
  try {
    await writeFile(aside, JSON.stringify(owner));
    // A link comes into being whole, and never replaces anything.
    await link(aside, file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(aside).catch(() => {});
  }
}

function hold(file: string, owner: Owner, before: Held | undefined): RunLock {
  if (before) unlinkQuietly(before.file);
  const touch = toucherOf(file, JSON.stringify(owner));
  const timer = setInterval(() => quietly(touch.touch), TOUCH_EVERY_MS);
  timer.unref();
  let released = false;
  const release = () => {
    if (released) return;
    released = true;
    clearInterval(timer);
    quietly(touch.close);
    process.off('exit', release);
    // The highest number stays, so that nobody begins again from 1 beside a process that saw it.
    rewrite(file, { ...owner, released: true });
  };
  process.once('exit', release);
  return { release };
}

/** Writes what stands there already, so that the disk's own clock says when, and no reader ever sees anything else. */
function toucherOf(file: string, text: string): { touch(): void; close(): void } {
  const descriptor = openSync(file, 'r+');
  return { touch: () => void writeSync(descriptor, text, 0), close: () => closeSync(descriptor) };
}

const unlinkQuietly = (file: string): void => quietly(() => unlinkSync(file));
const rewrite = (file: string, owner: Owner): void => quietly(() => writeFileSync(file, JSON.stringify(owner)));

/** A run directory may be gone before its lock is. */
function quietly(act: () => void): void {
  try {
    act();
  } catch {}
}

async function lives({ file, owner }: Held, runDir: string): Promise<boolean> {
  if (!owner || owner.released) return false;
  if (owner.hostName !== hostname()) return (await ageMs(file, runDir)) < SILENT_MS;
  return isRunning(owner.pid) && startOf(owner.pid) === owner.startedAt;
}

/** By the clock of the disk that both machines share. */
async function ageMs(file: string, runDir: string): Promise<number> {
  const probe = asideOf(join(runDir, 'coordinator.lock'));
  await writing(probe, () => writeFile(probe, ''));
  try {
    const [now, touched] = await Promise.all([stat(probe), stat(file)]);
    return now.mtimeMs - touched.mtimeMs;
  } finally {
    await unlink(probe).catch(() => {});
  }
}

/** Field 22 of Linux' /proc/PID/stat (ticks since boot, see proc(5)); elsewhere what `ps` says. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return startByPs(pid);
  }
}

function startByPs(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function locked(runDir: string, { pid, hostName, since }: Owner): CoordError {
  return new CoordError(
    'RUN_LOCKED',
    `${runDir} is led by another coordinator: process ${pid} on ${hostName}, since ${since}`,
    {
      hint:
        hostName === hostname()
          ? 'Let it go on, or end it (Ctrl-C, SIGTERM) and try again. `coord status` shows what it does.'
          : `Let it go on, or end it there. If that machine is gone, try again in ${SILENT_MS / 1000} s.`,
      facts: { runDir, pid, hostName, since },
    },
  );
}
