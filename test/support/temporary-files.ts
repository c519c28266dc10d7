/** What tests write lies in one directory, which goes when all are done; `KEEP_TEST_FILES=1` keeps it, to look into. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of vitest, before the tests' processes start: they and all that they start inherit it. */
export default async function setUp(): Promise<() => Promise<void>> {
  // Short: paths of local sockets may have about a hundred characters.
  const directory = await mkdtemp(join(tmpdir(), 'coord-t-'));
  process.env.TMPDIR = directory;
  return async () => {
    if (process.env.KEEP_TEST_FILES) process.stderr.write(`the tests' files are in ${directory}\n`);
    else await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  };
}
