import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLimited, readTextLimited } from '../src/read-limited.js';
import { scratch } from './scratch.js';

describe('a file that is read up to a limit', () => {
  it('comes whole when it is not longer', async () => {
    const file = join(await scratch(), 'file');
    await writeFile(file, 'grüße');
    expect(await readTextLimited(file, 7)).toBe('grüße');
    await writeFile(file, '');
    expect(await readLimited(file, 7)).toHaveLength(0);
  });

  it('is refused when it is longer', async () => {
    const file = join(await scratch(), 'file');
    await writeFile(file, new Uint8Array(1000));
    expect(await readLimited(file, 1000)).toHaveLength(1000);
    await expect(readLimited(file, 999)).rejects.toThrow('it is longer than 999 bytes');
  });

  it.skipIf(!existsSync('/dev/zero'))('is refused, too, when it never ends', async () => {
    await expect(readLimited('/dev/zero', 100_000)).rejects.toThrow('longer than 100000 bytes');
  });

  it('says why it cannot be read', async () => {
    const directory = await scratch();
    await expect(readLimited(directory, 10)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(readLimited(join(directory, 'none'), 10)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
