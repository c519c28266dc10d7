/** The text of a join token as people paste it: `SECRET`, or `SECRET.sha256-FINGERPRINT` where the coordinator speaks TLS. */

export interface JoinToken {
  readonly secret: string;
  /** Fingerprint of the coordinator's certificate: SHA-256, base64url. */
  readonly certificateSha256?: string | undefined;
}

const WITH_FINGERPRINT = /^(.+)\.sha256-([\w-]{43})$/;

export function parseToken(text: string): JoinToken {
  const [, secret = text, certificateSha256] = WITH_FINGERPRINT.exec(text) ?? [];
  return { secret, certificateSha256 };
}

export const formatToken = ({ secret, certificateSha256 }: JoinToken): string =>
  certificateSha256 === undefined ? secret : `${secret}.sha256-${certificateSha256}`;
