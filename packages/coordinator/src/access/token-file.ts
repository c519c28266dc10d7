/** `tokens.json` in the run directory: the run's tokens with their secrets. Only its owner may read it. */
import { join } from 'node:path';
import { errnoOf, errorText, readTextLimited, replaceFile } from '@coord/disk';
import { CoordError, createToken } from '@coord/protocol';
import { z } from 'zod';
import { TokenBook, type TokenPage } from './token-book.js';
import { tokenRecordSchema } from './token-record.js';

const FILE = 'tokens.json';
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const OWNER_ONLY = 0o600;

const fileSchema = z.object({
  formatVersion: z.literal(1),
  runSecret: z.string().min(16),
  tokens: z.array(tokenRecordSchema).max(1000),
});

/** A missing file is an empty book. @throws CoordError USAGE when the file is damaged. */
export async function openTokenBook(runDir: string): Promise<TokenBook> {
  const file = join(runDir, FILE);
  return new TokenBook(await readPage(file), (page) => writePage(file, page));
}

async function readPage(file: string): Promise<TokenPage> {
  const text = await readTextLimited(file, MAX_FILE_BYTES).catch((cause: unknown) => {
    if (errnoOf(cause) === 'ENOENT') return undefined;
    throw noTokens(file, errorText(cause), cause);
  });
  return text === undefined ? { tokens: [], runSecret: createToken() } : parseTokenPage(file, text);
}

/** @throws CoordError USAGE */
export function parseTokenPage(file: string, text: string): TokenPage {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw noTokens(file, 'it is damaged', cause);
  }
}

/** Parts of it are secret: the reason names none. */
const noTokens = (file: string, why: string, cause: unknown): CoordError =>
  new CoordError('USAGE', `${file} cannot be read as a list of tokens: ${why}`, {
    hint: 'Restore it; or remove it: the run then makes new tokens, and no worker of before comes back.',
    facts: { file },
    cause,
  });

/** @throws CoordError CHECKPOINT_WRITE_FAILED; the file then has the old tokens. */
const writePage = (file: string, page: TokenPage): Promise<void> =>
  replaceFile(file, `${JSON.stringify({ formatVersion: 1, ...page }, null, 2)}\n`, { mode: OWNER_ONLY });
