/** Key pairs for X25519 agreements (RFC 7748): two that know each other's public halves have a secret that nobody else has. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** What stands before 32 private bytes in PKCS #8 (RFC 8410, section 7). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');

export class KeyPair {
  /** base64url of 32 bytes. */
  readonly publicKey: string;

  private constructor(private readonly privateKey: KeyObject) {
    this.publicKey = createPublicKey(privateKey).export({ format: 'jwk' }).x as string;
  }

  static create(): KeyPair {
    return new KeyPair(generateKeyPairSync('x25519').privateKey);
  }

  /** @param seed 32 secret bytes: equal seeds make equal pairs. */
  static of(seed: Uint8Array): KeyPair {
    return new KeyPair(createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' }));
  }

  /** @throws Error when the peer's is no public key, or one that agrees with everybody on the same. */
  agree(peer: string | undefined): Buffer {
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: peer }, format: 'jwk' });
    return diffieHellman({ privateKey: this.privateKey, publicKey });
  }
}
