import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asideOf } from '@coord/disk';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBlockCache } from '../src/block-cache.js';
import type { CacheProblem } from '../src/block-directory.js';
import { coordErrorOf, temporaryDirectory } from './files.js';

const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const blocks = Array.from({ length: 8 }, (_, index) => Buffer.alloc(100, index));
const names = blocks.map(sha256Of);

/** A cache over a store of blocks that counts what it is asked for. */
function cacheOver(directory: string, memoryBytes: number) {
  const asked: string[] = [];
  const problems: CacheProblem[] = [];
  const cache = createBlockCache({
    directory,
    memoryBytes,
    fetch: async (sha256) => {
      asked.push(sha256);
      return blocks[names.indexOf(sha256)];
    },
    onProblem: (problem) => problems.push(problem),
  });
  return { cache, asked, problems };
}

const fileOf = (directory: string, sha256: string) => join(directory, sha256.slice(0, 2), sha256);

async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

describe('the block cache', () => {
  it('fetches a block once, then gives it from memory', async () => {
    const { cache, asked } = cacheOver(await temporaryDirectory(), 1000);
    expect(await cache.get(names[0])).toEqual(blocks[0]);
    expect(await cache.get(names[0])).toEqual(blocks[0]);
    expect(asked).toEqual([names[0]]);
    expect(cache.counts()).toEqual({ memoryHits: 1, diskHits: 0, fetches: 1 });
  });

  it('finds what another cache left on disk', async () => {
    const directory = await temporaryDirectory();
    await cacheOver(directory, 0).cache.get(names[0]);
    const { cache, asked } = cacheOver(directory, 0);
    expect(new Uint8Array(await cache.get(names[0]))).toEqual(new Uint8Array(blocks[0]));
    expect(asked).toEqual([]);
    expect(cache.counts().diskHits).toBe(1);
  });

  it('removes, once it writes, what killed processes have left half written', async () => {
    const directory = await temporaryDirectory();
    await cacheOver(directory, 0).cache.get(names[0]);
    const { pid } = spawnSync(process.execPath, ['--version']);
    const half = asideOf(fileOf(directory, names[1])).replace(`-${process.pid}-`, `-${pid}-`);
    await mkdir(dirname(half), { recursive: true });
    await writeFile(half, 'half');
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(half, longAgo, longAgo);
    await cacheOver(directory, 0).cache.get(names[2]);
    await expect.poll(async () => (await filesIn(directory)).sort()).toEqual([names[0], names[2]].sort());
  });

  it('fetches once for concurrent gets of one block', async () => {
    const { cache, asked } = cacheOver(await temporaryDirectory(), 1000);
    await Promise.all(Array.from({ length: 20 }, () => cache.get(names[1])));
    expect(asked).toEqual([names[1]]);
  });

  it('keeps the most recently used blocks in memory, within its bytes', async () => {
    const { cache } = cacheOver(await temporaryDirectory(), 250);
    for (const index of [0, 1, 0, 2]) await cache.get(names[index]);
    const before = cache.counts();
    await cache.get(names[0]);
    expect(cache.counts().memoryHits).toBe(before.memoryHits + 1);
    await cache.get(names[1]);
    expect(cache.counts().diskHits).toBe(before.diskHits + 1);
  });

  it.each([
    ['flipped', (file: string) => writeFile(file, Buffer.alloc(100, 0xee))],
    ['truncated', (file: string) => truncate(file, 40)],
    ['emptied', (file: string) => truncate(file, 0)],
  ])('fetches again, repairs and reports a file that was %s', async (_what, damage) => {
    const directory = await temporaryDirectory();
    await cacheOver(directory, 0).cache.get(names[3]);
    await damage(fileOf(directory, names[3]));
    const { cache, asked, problems } = cacheOver(directory, 0);
    expect(await cache.get(names[3])).toEqual(blocks[3]);
    expect(asked).toEqual([names[3]]);
    expect(problems.map(({ kind, sha256 }) => ({ kind, sha256 }))).toEqual([
      { kind: 'corrupt-file', sha256: names[3] },
    ]);
    expect(await readFile(fileOf(directory, names[3]))).toEqual(blocks[3]);
  });

  it('refuses other bytes than the name promises, keeps nothing of them, and asks again next time', async () => {
    const directory = await temporaryDirectory();
    const answers = [Buffer.from('wrong'), blocks[0]];
    const cache = createBlockCache({ directory, memoryBytes: 1000, fetch: async () => answers.shift()! });
    const error = await coordErrorOf(cache.get(names[0]));
    expect(error.code).toBe('BLOCK_CORRUPT');
    expect(error.facts).toMatchObject({ sha256: names[0], found: sha256Of(Buffer.from('wrong')), sizeBytes: 5 });
    expect(await filesIn(directory)).toEqual([]);
    expect(await cache.get(names[0])).toEqual(blocks[0]);
  });

  it('passes on what fetch rejects with, to every waiter, and asks again next time', async () => {
    let failures = 1;
    const cache = createBlockCache({
      directory: await temporaryDirectory(),
      memoryBytes: 1000,
      fetch: async () => {
        if (failures-- > 0) throw new Error('nobody has it');
        return blocks[0];
      },
    });
    const waiting = await Promise.allSettled([cache.get(names[0]), cache.get(names[0])]);
    expect(waiting.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await cache.get(names[0])).toEqual(blocks[0]);
  });

  it.each(['../../etc/passwd', '', 'ABCDEF', '0'.repeat(63)])('does not take %j for a block', async (name) => {
    const { cache, asked } = cacheOver(await temporaryDirectory(), 1000);
    expect((await coordErrorOf(cache.get(name))).code).toBe('DATASET_INVALID');
    expect(asked).toEqual([]);
  });

  it('goes on without a disk that cannot be written, and says so', async () => {
    const directory = await temporaryDirectory();
    // A file stands where the block's directory should be; that stops root too, unlike permissions.
    await writeFile(dirname(fileOf(directory, names[4])), 'in the way');
    const { cache, problems } = cacheOver(directory, 0);
    expect(await cache.get(names[4])).toEqual(blocks[4]);
    expect(await cache.get(names[4])).toEqual(blocks[4]);
    expect(problems.map(({ kind }) => kind)).toContain('write-failed');
  });

  it('may share its directory: many caches at once leave whole blocks and nothing else', async () => {
    const directory = await temporaryDirectory();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(7), { minLength: 1, maxLength: 30 }), async (order) => {
        const caches = Array.from({ length: 4 }, () => cacheOver(directory, 150).cache);
        const got = await Promise.all(order.flatMap((index) => caches.map((cache) => cache.get(names[index]))));
        got.forEach((bytes, at) => {
          expect(sha256Of(bytes)).toBe(names[order[Math.floor(at / caches.length)]]);
        });
      }),
      { numRuns: 20 },
    );
    const files = await filesIn(directory);
    expect(files.filter((name) => !names.includes(name))).toEqual([]);
    for (const name of files) expect(sha256Of(await readFile(fileOf(directory, name)))).toBe(name);
  });
});
