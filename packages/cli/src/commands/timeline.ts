import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LEDGER_FILE, readLedger } from '@coord/coordinator';
import { EXIT_CODE } from '@coord/protocol';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { TimelineOptions } from '../options.js';
import { logsDirectory, readRunRecord } from '../run-directory.js';
import { findFlightFiles, readFlightFile } from '../timeline/flight-file.js';
import { traceOf } from '../timeline/trace.js';
import { plural } from '../view/format.js';

/** @throws CoordError CHECKPOINT_NOT_FOUND (no run), LEDGER_CORRUPT, USAGE (no flight record). */
export async function runTimeline(runDir: string, options: TimelineOptions, io: CommandIo): Promise<number> {
  const { runId } = await readRunRecord(runDir);
  const ledger = await readLedger(join(runDir, LEDGER_FILE));
  const files = [...(await findFlightFiles(logsDirectory(runDir))), ...(options.flight ?? [])];
  const flights = await Promise.all(files.map(readFlightFile));
  const traceEvents = traceOf(ledger, flights);
  const file = options.out ?? join(runDir, 'timeline.json');
  await writeFile(file, JSON.stringify({ traceEvents, displayTimeUnit: 'ms', metadata: { runId } }));
  const workers = flights.map(({ header }) => header.workerId);
  if (options.json) writeJson(io.stdout, { event: 'timeline', file, workers, events: traceEvents.length });
  else {
    writeLine(
      io.stdout,
      `${plural(traceEvents.length, 'event')} of ${plural(workers.length, 'worker')} written to ${file}`,
    );
    writeLine(io.stdout, 'Open it in https://ui.perfetto.dev or chrome://tracing.');
  }
  return EXIT_CODE.ok;
}
