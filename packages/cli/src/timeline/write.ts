import { join } from 'node:path';
import { LEDGER_FILE, readLedger } from '@coord/coordinator';
import { replaceFile } from '@coord/disk';
import { logsDirectory, readRunRecord } from '../run-directory.js';
import { findFlightFiles, readFlightFile } from './flight-file.js';
import { traceOf } from './trace.js';

export interface WrittenTimeline {
  /** Ids of the workers in it. */
  readonly workers: readonly string[];
  readonly events: number;
}

/**
 * Merges a run's ledger and flight records into one trace.
 *
 * @param flightFiles beside those that local workers have left in the run directory.
 * @throws CoordError CHECKPOINT_NOT_FOUND (no run), LEDGER_CORRUPT, USAGE (no flight record), CHECKPOINT_WRITE_FAILED.
 */
export async function writeTimeline(
  runDir: string,
  file: string,
  flightFiles: readonly string[] = [],
): Promise<WrittenTimeline> {
  const { runId } = await readRunRecord(runDir);
  const ledger = await readLedger(join(runDir, LEDGER_FILE));
  const files = [...(await findFlightFiles(logsDirectory(runDir))), ...flightFiles];
  const flights = await Promise.all(files.map(readFlightFile));
  const traceEvents = traceOf(ledger, flights);
  await replaceFile(file, JSON.stringify({ traceEvents, displayTimeUnit: 'ms', metadata: { runId } }));
  return { workers: flights.map(({ header }) => header.workerId), events: traceEvents.length };
}
