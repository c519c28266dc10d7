/**
 * `coordinator.json` in the run directory: where the run's coordinator listens and which certificate it shows, so that a
 * resumed one is found, and known, by the workers of the one before.
 */
import { join } from 'node:path';
import { readTextLimited, replaceFile } from '@coord/disk';
import { z } from 'zod';
import { LISTEN_PATTERN } from './listen.js';

const FILE = 'coordinator.json';
const MAX_FILE_BYTES = 64 * 1024;
const OWNER_ONLY = 0o600;

const coordinatorRecordSchema = z.object({
  /** `HOST:PORT`, with the port that was really taken. */
  listen: z.string().regex(LISTEN_PATTERN),
  /** Files of its certificate; absent where it does not speak TLS. */
  certificate: z.object({ cert: z.string(), key: z.string() }).optional(),
});
export type CoordinatorRecord = z.infer<typeof coordinatorRecordSchema>;

/** @throws CoordError CHECKPOINT_WRITE_FAILED; the record is then the old one. */
export const writeCoordinatorRecord = (runDir: string, record: CoordinatorRecord): Promise<void> =>
  replaceFile(join(runDir, FILE), `${JSON.stringify(record, null, 2)}\n`, { mode: OWNER_ONLY });

/** Undefined where there is none, or none that can be read: then the run goes on at a new address. */
export async function readCoordinatorRecord(runDir: string): Promise<CoordinatorRecord | undefined> {
  try {
    return coordinatorRecordSchema.parse(JSON.parse(await readTextLimited(join(runDir, FILE), MAX_FILE_BYTES)));
  } catch {
    return undefined;
  }
}
