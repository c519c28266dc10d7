import { EXIT_CODE } from '@coord/protocol';
import { z } from 'zod';
import { findCoordinator } from '../find-coordinator.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { DrainOptions } from '../options.js';
import { askCoordinator, coordinatorUrl, refusalIn } from '../status-client.js';
import { findToken } from '../token.js';

const drainingSchema = z.object({ draining: z.string() });

/** @throws CoordError USAGE (no such worker, the last worker), UNREACHABLE, TOKEN_WRONG. */
export async function runDrain(worker: string, options: DrainOptions, io: CommandIo): Promise<number> {
  const { address, token } = await findCoordinator(options.url, findToken(options.token, io.env));
  const url = coordinatorUrl(address, `/drain/${encodeURIComponent(worker)}`, token);
  const { status, body } = await askCoordinator(url, token, { method: 'POST' });
  const answer = drainingSchema.safeParse(body);
  if (status !== 200 || !answer.success) {
    throw refusalIn(body, `${worker} was not drained`, { worker });
  }
  const { draining } = answer.data;
  if (options.json) writeJson(io.stdout, { event: 'draining', worker: draining });
  else writeLine(io.stdout, `${draining} leaves after the step in progress; the others go on`);
  return EXIT_CODE.ok;
}
