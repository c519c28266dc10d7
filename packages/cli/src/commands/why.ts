import { EXIT_CODE } from '@coord/protocol';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { StatusOptions } from '../options.js';
import { readStatus } from '../status-client.js';
import { findToken } from '../token.js';
import { diagnose, readingSchema } from '../why/diagnose.js';
import { formatWhy, sentence } from '../why/view.js';

/** @throws CoordError USAGE (no URL), UNREACHABLE, TOKEN_WRONG. */
export async function runWhy(url: string, options: StatusOptions, io: CommandIo): Promise<number> {
  const reading = await readStatus(url, findToken(options.token, io.env), readingSchema);
  const diagnosis = diagnose(reading);
  if (options.json) {
    const waiters = diagnosis.waiters.map(({ workerId }) => workerId);
    const { verdict, worker = null } = diagnosis;
    writeJson(io.stdout, { event: 'why', verdict, text: sentence(reading, diagnosis), worker, waiters });
  } else writeLine(io.stdout, formatWhy(reading, diagnosis));
  return EXIT_CODE.ok;
}
