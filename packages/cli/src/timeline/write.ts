import { join } from 'node:path';
import { LEDGER_FILE, readDamagedLedger } from '@coord/coordinator';
import { replaceFile } from '@coord/disk';
import { toErrorRecord } from '@coord/protocol';
import { logsDirectory, readRunRecord } from '../run-directory.js';
import { type FlightRecord, findFlightFiles, readFlightFile } from './flight-file.js';
import { traceOf } from './trace.js';

export interface WrittenTimeline {
  /** Ids of the workers in it. */
  readonly workers: readonly string[];
  readonly events: number;
  /** What could not be read, and is missing: a sentence for each. */
  readonly leftOut: readonly string[];
}

/**
 * Merges a run's ledger and flight records into one trace: all that can be read of them. (What a ledger proves, `coord audit` says.)
 *
 * @param flightFiles beside those that local workers have left in the run directory.
 * @throws CoordError CHECKPOINT_NOT_FOUND (no run), USAGE (a file of `flightFiles` is no flight record), CHECKPOINT_WRITE_FAILED.
 */
export async function writeTimeline(
  runDir: string,
  file: string,
  flightFiles: readonly string[] = [],
): Promise<WrittenTimeline> {
  const { runId } = await readRunRecord(runDir);
  const leftOut: string[] = [];
  const ledger = await ledgerOf(join(runDir, LEDGER_FILE), leftOut);
  const found = await findFlightFiles(logsDirectory(runDir));
  const flights = [
    ...(await Promise.all(found.map((flight) => flightOr(flight, leftOut)))).flat(),
    ...(await Promise.all(flightFiles.map(readFlightFile))),
  ];
  const traceEvents = traceOf(ledger, flights);
  await replaceFile(file, JSON.stringify({ traceEvents, displayTimeUnit: 'ms', metadata: { runId } }));
  return { workers: flights.map(({ header }) => header.workerId), events: traceEvents.length, leftOut };
}

async function ledgerOf(path: string, leftOut: string[]) {
  try {
    const { records, damage } = await readDamagedLedger(path);
    leftOut.push(...damage.map(({ line, why }) => `line ${line} of the ledger ${path} is damaged: ${why}`));
    return records;
  } catch (error) {
    leftOut.push(toErrorRecord(error).message);
    return [];
  }
}

/** Of the files that nobody has named, one that is none does not keep the others from being seen. */
async function flightOr(file: string, leftOut: string[]): Promise<FlightRecord[]> {
  try {
    return [await readFlightFile(file)];
  } catch (error) {
    leftOut.push(toErrorRecord(error).message);
    return [];
  }
}
