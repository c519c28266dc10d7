import { EXIT_CODE } from '@coord/protocol';
import { z } from 'zod';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { StatusOptions } from '../options.js';
import { readStatus } from '../status-client.js';
import { findToken } from '../token.js';
import { formatStatus, type Status, statusSchema } from '../view/status.js';

/** All of it goes out with --json, also what this version does not know. */
const wholeSchema = z.custom<Status>((value) => statusSchema.safeParse(value).success);

/** @throws CoordError USAGE (no URL), UNREACHABLE, TOKEN_WRONG. */
export async function runStatus(url: string, options: StatusOptions, io: CommandIo): Promise<number> {
  const status = await readStatus(url, findToken(options.token, io.env), wholeSchema);
  if (options.json) writeJson(io.stdout, { event: 'status', ...status });
  else writeLine(io.stdout, formatStatus(status));
  return EXIT_CODE.ok;
}
