/** Evidence: what a replica had otherwise than the majority, kept where people look for it after the run. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Evidence } from './divergences.js';

/** In the run directory. */
const EVIDENCE_DIRECTORY = 'evidence';

/** `evidence/diverged-step-12-w3.json`. */
export async function writeEvidence(runDir: string, evidence: Evidence): Promise<void> {
  const directory = join(runDir, EVIDENCE_DIRECTORY);
  await mkdir(directory, { recursive: true });
  const file = join(directory, `diverged-step-${evidence.step}-${evidence.worker.workerId}.json`);
  await writeFile(file, `${JSON.stringify(evidence, null, 2)}\n`);
}
