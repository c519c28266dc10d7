/** The tokens that a start works with: what it prints, what its own workers and commands use. */

import { openTokenBook, type TokenBook, type TokenRecord } from '@coord/coordinator';
import { parseToken } from '@coord/protocol';

/** Names of the tokens that every run makes by itself. */
export const TOKEN_NAMES = { join: 'join', local: 'local', operator: 'operator' } as const;

export interface StartTokens {
  readonly book: TokenBook;
  /** For the workers that this start launches: rotating the token that people were given does not touch them. */
  readonly local: TokenRecord;
  /** Of that one, and of those that were in its place before. */
  readonly localIds: ReadonlySet<string>;
}

/**
 * @param given what the user wants workers to be given; else the token of the start before, or a new one.
 * @throws CoordError USAGE when the run's tokens cannot be read.
 */
export async function prepareTokens(runDir: string, given?: string): Promise<StartTokens> {
  const book = await openTokenBook(runDir);
  const { join, local, operator } = TOKEN_NAMES;
  const current = book.newest('worker', join);
  const secret = given === undefined ? undefined : parseToken(given).secret;
  if (!current || (secret !== undefined && secret !== current.secret)) {
    await book.create({ name: join, role: 'worker', secret });
  }
  if (!book.newest('operator')) await book.create({ name: operator, role: 'operator' });
  const ownLocal = book.newest('worker', local) ?? (await book.create({ name: local, role: 'worker' }));
  const ofLocal = book.summaries.filter((token) => token.role === 'worker' && token.name === local);
  return { book, local: ownLocal, localIds: new Set(ofLocal.map(({ id }) => id)) };
}
