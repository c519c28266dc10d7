import { join } from 'node:path';
import { EXIT_CODE } from '@coord/protocol';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { TimelineOptions } from '../options.js';
import { writeTimeline } from '../timeline/write.js';
import { plural } from '../view/format.js';

/** Of what could not be read. */
const SHOWN = 8;

/** @throws CoordError CHECKPOINT_NOT_FOUND (no run), USAGE (no flight record), CHECKPOINT_WRITE_FAILED. */
export async function runTimeline(runDir: string, options: TimelineOptions, io: CommandIo): Promise<number> {
  const file = options.out ?? join(runDir, 'timeline.json');
  const { workers, events, leftOut } = await writeTimeline(runDir, file, options.flight);
  if (options.json) writeJson(io.stdout, { event: 'timeline', file, workers, events, leftOut });
  else {
    writeLine(io.stdout, `${plural(events, 'event')} of ${plural(workers.length, 'worker')} written to ${file}`);
    for (const what of leftOut.slice(0, SHOWN)) writeLine(io.stdout, `left out: ${what}`);
    if (leftOut.length > SHOWN) writeLine(io.stdout, `left out: ${leftOut.length - SHOWN} more (--json names them)`);
    writeLine(io.stdout, 'Open it in https://ui.perfetto.dev or chrome://tracing.');
  }
  return EXIT_CODE.ok;
}
