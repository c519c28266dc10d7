/**
 * The text of a join token as people paste it: `SECRET`, then what the coordinator is known by: `.sha256-FINGERPRINT` of its certificate where it
 * speaks TLS, `.x25519-KEY` where it is reached over NATS.
 */

export interface JoinToken {
  readonly secret: string;
  /** Fingerprint of the coordinator's certificate: SHA-256, base64url. */
  readonly certificateSha256?: string | undefined;
  /** Public half of the coordinator's standing key: X25519, base64url. Over NATS, who does not have the other half cannot answer in its place. */
  readonly standingKey?: string | undefined;
}

const WITH_PINS = /^(.+?)(?:\.sha256-([\w-]{43}))?(?:\.x25519-([\w-]{43}))?$/s;

export function parseToken(text: string): JoinToken {
  const [, secret = text, certificateSha256, standingKey] = WITH_PINS.exec(text) ?? [];
  return { secret, certificateSha256, standingKey };
}

export function formatToken({ secret, certificateSha256, standingKey }: JoinToken): string {
  const certificate = certificateSha256 === undefined ? '' : `.sha256-${certificateSha256}`;
  return `${secret}${certificate}${standingKey === undefined ? '' : `.x25519-${standingKey}`}`;
}
