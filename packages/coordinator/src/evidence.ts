/** Evidence: what a replica had otherwise than the majority, kept where people look for it after the run. */
import { join } from 'node:path';
import { replaceFile } from '@coord/disk';
import type { Evidence } from './divergences.js';

/** In the run directory. */
const EVIDENCE_DIRECTORY = 'evidence';

/** `evidence/diverged-step-12-w3.json`. @throws CoordError CHECKPOINT_WRITE_FAILED */
export async function writeEvidence(runDir: string, evidence: Evidence): Promise<void> {
  const name = `diverged-step-${evidence.step}-${evidence.worker.workerId}.json`;
  await replaceFile(join(runDir, EVIDENCE_DIRECTORY, name), `${JSON.stringify(evidence, null, 2)}\n`);
}
