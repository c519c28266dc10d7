/**
 * Link keys: in every view each pair of hosts has a key of its own, which no third host can know, so that a member cannot
 * speak in another's name. The pair's secret is an X25519 agreement (RFC 7748) of the public keys in the view; HKDF
 * (RFC 5869) mixes in the view's secret, so that only hosts that the coordinator has told of the view can make the key.
 */
import { hkdfSync } from 'node:crypto';
import { CoordError, KeyPair, type View } from '@coord/protocol';

const KEY_BYTES = 32;

export type KeyedView = Pick<View, 'runId' | 'generation' | 'ringKey'>;

export class LinkKeys {
  readonly #pair = KeyPair.create();

  /** base64url of 32 bytes; goes into the view. */
  get publicKey(): string {
    return this.#pair.publicKey;
  }

  /**
   * The key of the links between this host and the one of that public key, the same at both ends.
   *
   * @throws CoordError RING_BROKEN when the peer has no key, or none that is worth anything.
   */
  pairKey(peer: string | undefined, { runId, generation, ringKey }: KeyedView): string {
    const ends = [this.publicKey, peer ?? ''].sort();
    const info = JSON.stringify(['coord link', runId, generation, ...ends]);
    return Buffer.from(hkdfSync('sha256', this.#agree(peer), ringKey, info, KEY_BYTES)).toString('base64url');
  }

  #agree(peer: string | undefined): Buffer {
    try {
      return this.#pair.agree(peer);
    } catch (cause) {
      throw new CoordError('RING_BROKEN', `a member of the view has the link key "${peer}", which is none`, { cause });
    }
  }
}
