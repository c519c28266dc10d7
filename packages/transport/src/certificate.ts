/**
 * Self-signed certificates. Nobody has to trust their names: whoever dials knows the fingerprint beforehand, from the join
 * token or from the view.
 */
import 'reflect-metadata';
import { randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { type Certificate, fingerprintOf } from './tls.js';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 24 * 60 * 60 * 1000;
/** Clocks of two machines may differ. */
const VALID_BEFORE_MS = DAY_MS;
const VALID_AFTER_MS = 3650 * DAY_MS;
const SERIAL_BYTES = 16;

/** A new key and its certificate. @param hosts names and addresses that it is for; for people and strict clients */
export async function createCertificate(hosts: readonly string[]): Promise<Certificate> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const nowMs = Date.now();
  const issued = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=coord',
    notBefore: new Date(nowMs - VALID_BEFORE_MS),
    notAfter: new Date(nowMs + VALID_AFTER_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [new SubjectAlternativeNameExtension(hosts.map(nameOf))],
  });
  const certPem = issued.toString('pem');
  const keyPem = pem('PRIVATE KEY', await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { certPem, keyPem, sha256: fingerprintOf(new X509Certificate(certPem)) };
}

const nameOf = (host: string) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host });

/** Positive, as RFC 5280 asks: the first bit is 0. */
function serialNumber(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
