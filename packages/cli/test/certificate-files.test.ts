/** The coordinator's own certificate and its key belong together, whatever happens to the process that makes them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { certificateFilesOf, loadCertificate } from '../src/certificate-files.js';

const CRASH = fileURLToPath(new URL('fixtures/crash-certificate.mjs', import.meta.url));

async function newRun() {
  const runDir = await mkdtemp(join(tmpdir(), 'coord-certificate-'));
  onTestFinished(() => rm(runDir, { recursive: true, force: true }));
  return { runDir, files: certificateFilesOf(runDir, { tls: true })! };
}

/** @returns whether the process lived to the end. */
async function makeUntil(operations: number, runDir: string): Promise<boolean> {
  const [code, signal] = await once(spawn(process.execPath, [CRASH, runDir, String(operations)]), 'exit');
  expect(code === 0 || signal === 'SIGKILL').toBe(true);
  return code === 0;
}

describe("a run's own certificate", () => {
  it('is made once, and its key is for its owner alone', async () => {
    const { runDir, files } = await newRun();
    const made = await loadCertificate(runDir, files);
    expect((await stat(files.key)).mode & 0o777).toBe(0o600);
    expect(await loadCertificate(runDir, files)).toEqual(made);
  });

  it('is a pair again after a crash at whichever file operation, beside what an older one has left too', async () => {
    let crashes = 0;
    for (let survived = false; !survived; crashes++) {
      const { runDir, files } = await newRun();
      const lost = await loadCertificate(runDir, files);
      await rm(files.key);
      survived = await makeUntil(crashes, runDir);
      const left = existsSync(files.key) && existsSync(files.cert) && (await readFile(files.cert, 'utf8'));
      const { certPem } = await loadCertificate(runDir, files);
      expect(certPem).not.toBe(lost.certPem);
      // A whole pair may have been shown to workers already.
      if (left !== false) expect(certPem).toBe(left);
    }
    // Of each file: mkdir, open, write, sync, rename, and open and sync of its directory.
    expect(crashes).toBeGreaterThan(12);
  }, 120_000);
});
