import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { asideOf, sweepLeftovers } from '../src/leftovers.js';
import { replaceFile } from '../src/replace-file.js';
import { scratch } from './scratch.js';

const CRASH = fileURLToPath(new URL('children/crash-at.mjs', import.meta.url));
const OLD = 'the old text\n';
const NEW = 'the new text, which is longer\n';

describe('a file that is replaced', () => {
  it('is there afterwards, alone, in a directory that was missing, with the permissions that were asked for', async () => {
    const directory = join(await scratch(), 'a', 'b');
    const file = join(directory, 'secret');
    await replaceFile(file, OLD);
    await replaceFile(file, NEW, { mode: 0o600 });
    expect(await readFile(file, 'utf8')).toBe(NEW);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['secret']);
  });

  it('is the old one or the new one, whole, at whichever file operation its writer dies', async () => {
    let crashes = 0;
    for (let survived = false; !survived; crashes++) {
      const file = join(await scratch(), 'file');
      await writeFile(file, OLD);
      const [code, signal] = await once(spawn(process.execPath, [CRASH, file, NEW, String(crashes)]), 'exit');
      survived = code === 0;
      expect(survived || signal === 'SIGKILL').toBe(true);
      expect(survived ? [NEW] : [OLD, NEW]).toContain(await readFile(file, 'utf8'));
    }
    // mkdir, open, write, sync, rename, open, sync: dying early would prove little.
    expect(crashes).toBeGreaterThan(6);
  });

  it('leaves no half behind for ever: what a killed writer has left is removed, and nothing else', async () => {
    const directory = await scratch();
    const file = join(directory, 'logs', 'file');
    // Dies in the write, after mkdir, its sync and open.
    for (let operations = 2; operations < 8; operations++)
      await once(spawn(process.execPath, [CRASH, file, NEW, String(operations)]), 'exit');
    const half = (await readdir(dirname(file))).filter((name) => name.endsWith('.tmp'));
    expect(half.length).toBeGreaterThan(0);
    const others = ['file.tmp', 'file.00000000-1-000000000000.tmp', `${half[0]}.txt`];
    const alive = basename(asideOf(file));
    for (const name of [...others, alive]) await writeFile(join(dirname(file), name), '');
    // Not yet: its writer may have been killed just now, and the clocks of disks are coarse.
    expect(await sweepLeftovers(directory)).toEqual([]);
    const swept = await sweepLeftovers(directory, Date.now() + 60_000);
    expect(swept.map((path) => basename(path)).sort()).toEqual(half.sort());
    const left = (await readdir(dirname(file))).sort();
    expect(left.filter((name) => name !== 'file')).toEqual([...others, alive].sort());
  });

  it('is whole when many replace it at once', async () => {
    const file = join(await scratch(), 'file');
    const texts = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(10_000));
    await Promise.all(texts.map((text) => replaceFile(file, text)));
    expect(texts).toContain(await readFile(file, 'utf8'));
  });

  it('stays where a link leads', async () => {
    const directory = await scratch();
    const [file, link] = ['file', 'link'].map((name) => join(directory, name));
    await writeFile(file, OLD);
    await symlink('file', link);
    await replaceFile(link, NEW);
    expect([await readlink(link), await readFile(file, 'utf8')]).toEqual(['file', NEW]);
  });

  it.skipIf(!existsSync('/dev/full'))('is written to where it is a device, which says what the matter is', async () => {
    await expect(replaceFile('/dev/full', NEW)).rejects.toMatchObject({
      code: 'CHECKPOINT_WRITE_FAILED',
      exitCode: 4,
      message: expect.stringMatching(/^\/dev\/full could not be written: ENOSPC: /),
      hint: expect.stringContaining('Free space'),
      facts: { file: '/dev/full', errno: 'ENOSPC' },
    });
    expect((await lstat('/dev/full')).isCharacterDevice()).toBe(true);
  });

  it('leaves nothing behind where it cannot be', async () => {
    const directory = await scratch();
    const file = join(directory, 'taken');
    await mkdir(file);
    await expect(replaceFile(file, NEW)).rejects.toMatchObject({ code: 'CHECKPOINT_WRITE_FAILED', facts: { file } });
    expect(await readdir(directory)).toEqual(['taken']);
  });
});
