/** Where a coordinator is asked: at an address, or at the one that leads the run of a directory. */
import { existsSync } from 'node:fs';
import { CoordError, formatToken, parseToken } from '@coord/protocol';
import { loadCertificate } from './certificate-files.js';
import { readCoordinatorRecord } from './coordinator-file.js';
import { parseListen } from './listen.js';
import { readRunRecord } from './run-directory.js';

export interface FoundCoordinator<Token = string | undefined> {
  readonly address: string;
  readonly token: Token;
}

/**
 * @param where an address, or a run directory.
 * @param given token of the command line or the environment.
 * @throws CoordError CHECKPOINT_NOT_FOUND (a directory, but of no run), USAGE (its coordinator is just starting).
 */
export async function findCoordinator(where: string, given: string | undefined): Promise<FoundCoordinator> {
  if (isAddress(where)) return { address: where, token: given };
  await readRunRecord(where);
  return coordinatorOfRun(where, given);
}

/** Not of a run directory. No address has a slash without a scheme or a port before it. */
export const isAddress = (where: string): boolean => !existsSync(where) && !/^[^:]*[/\\]/.test(where);

/** The run directory's owner is an operator: the secret is there to be read. */
export async function coordinatorOfRun(runDir: string, given: string | undefined): Promise<FoundCoordinator<string>> {
  // Loaded only where it is used.
  const { openTokenBook } = await import('@coord/coordinator');
  const record = await readCoordinatorRecord(runDir);
  const secret = given ?? (await openTokenBook(runDir)).newest('operator')?.secret;
  if (!record || secret === undefined) {
    throw new CoordError('USAGE', `${runDir} is led by a coordinator that is just starting`, { hint: 'Try again.' });
  }
  const { host, port } = parseListen(record.listen);
  const certificate = record.certificate && (await loadCertificate(runDir, record.certificate));
  const token = formatToken({ secret: parseToken(secret).secret, certificateSha256: certificate?.sha256 });
  return { address: `${localHost(host)}:${port}`, token };
}

const localHost = (host: string): string => {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
};
