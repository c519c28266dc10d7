/** The coordinator's certificate: its own, kept in the run directory, or one that its user brings. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { replaceFile, writing } from '@coord/disk';
import { CoordError } from '@coord/protocol';
import { type Certificate, fingerprintOf } from '@coord/transport';
import type { StartOptions } from './options.js';

const OWNER_ONLY = 0o600;

/** Where a certificate and its key are, in PEM. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

const ownFiles = (runDir: string): CertificateFiles => ({
  cert: join(resolve(runDir), 'tls', 'cert.pem'),
  key: join(resolve(runDir), 'tls', 'key.pem'),
});

/**
 * @param former of the start before: a resumed coordinator shows the certificate that its workers know.
 * @returns undefined where nobody asks for TLS.
 * @throws CoordError USAGE when one of the two files is missing, or they do not belong together.
 */
export function certificateFilesOf(
  runDir: string,
  { tls, tlsCert, tlsKey }: StartOptions,
  former?: CertificateFiles,
): CertificateFiles | undefined {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new CoordError('USAGE', '--tls-cert and --tls-key go together', {
      hint: 'Give both, or --tls alone for a certificate of its own.',
    });
  }
  if (tlsCert !== undefined && tlsKey !== undefined) return { cert: resolve(tlsCert), key: resolve(tlsKey) };
  return former ?? (tls ? ownFiles(runDir) : undefined);
}

/** Makes the run's own certificate where there is none yet. @throws CoordError USAGE, CHECKPOINT_WRITE_FAILED */
export async function loadCertificate(runDir: string, files: CertificateFiles): Promise<Certificate> {
  const own = ownFiles(runDir);
  const found = await readPair(files).catch((cause: NodeJS.ErrnoException) => {
    if (files.cert === own.cert && cause.code === 'ENOENT') return undefined;
    throw unusable(files, cause);
  });
  return found ? check(found, files) : makeOwn(own);
}

async function readPair({ cert, key }: CertificateFiles): Promise<{ certPem: string; keyPem: string }> {
  return { certPem: await readFile(cert, 'utf8'), keyPem: await readFile(key, 'utf8') };
}

function check({ certPem, keyPem }: { certPem: string; keyPem: string }, files: CertificateFiles): Certificate {
  try {
    const certificate = new X509Certificate(certPem);
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) throw new Error('the key is for another certificate');
    return { certPem, keyPem, sha256: fingerprintOf(certificate) };
  } catch (cause) {
    throw unusable(files, cause);
  }
}

/** The certificate comes last and stands for the pair: whatever this is interrupted by, the next start makes both anew. */
async function makeOwn(files: CertificateFiles): Promise<Certificate> {
  const { createCertificate } = await import('@coord/transport/certificate');
  const certificate = await createCertificate(ownNames());
  // One whose key is gone must not stand beside the new key.
  await writing(files.cert, () => rm(files.cert, { force: true }));
  await replaceFile(files.key, certificate.keyPem, { mode: OWNER_ONLY });
  await replaceFile(files.cert, certificate.certPem);
  return certificate;
}

function ownNames(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address));
  return [...new Set(['localhost', hostname(), ...addresses.filter((address) => !address.startsWith('fe80:'))])];
}

function unusable({ cert, key }: CertificateFiles, cause: unknown): CoordError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CoordError('USAGE', `${cert} and ${key} cannot be used for TLS: ${why}`, {
    hint: 'Both must be PEM: the certificate (with its chain, if it has one), and the private key without a passphrase.',
    facts: { cert, key },
    cause,
  });
}
