/**
 * Sealed messages: encrypted, and known to be the other end's (AES-256-GCM, NIST SP 800-38D).
 *
 * A message is: u8 kind · u48 number, little-endian · ciphertext · 16 bytes tag. Each direction of each channel has a key of its own, and
 * the number, which is the nonce, grows by one a message: no nonce is used twice, and what was sealed for another channel, for the
 * other direction or before does not open. Kind and number are authenticated with the content.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const HEAD_BYTES = 7;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** What a sealed message is longer than its content. */
export const SEAL_BYTES = HEAD_BYTES + TAG_BYTES;

export class Sealer {
  private number = 0;

  /** @param key 32 bytes, of nobody else. */
  constructor(private readonly key: Uint8Array) {}

  /** @throws RangeError after 2^48 messages. */
  seal(kind: number, ...parts: readonly Uint8Array[]): Buffer {
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head[0] = kind;
    head.writeUIntLE(this.number++, 1, HEAD_BYTES - 1);
    const cipher = createCipheriv(CIPHER, this.key, nonceOf(head), { authTagLength: TAG_BYTES }).setAAD(head);
    const sealed = parts.map((part) => cipher.update(part));
    // Nothing is left over in this mode; the tag is there only after it.
    cipher.final();
    return Buffer.concat([head, ...sealed, cipher.getAuthTag()]);
  }
}

export interface OpenedMessage {
  readonly kind: number;
  readonly content: Buffer;
  /** Messages that should have come before it and did not. */
  readonly missing: number;
}

export class Opener {
  private due = 0;

  constructor(
    private readonly key: Uint8Array,
    private readonly maxContentBytes: number,
  ) {}

  /** @returns undefined for everything that is not the other end's, or has been opened before. */
  open(message: Buffer): OpenedMessage | undefined {
    const contentBytes = message.byteLength - SEAL_BYTES;
    if (contentBytes < 0 || contentBytes > this.maxContentBytes) return undefined;
    const number = message.readUIntLE(1, HEAD_BYTES - 1);
    if (number < this.due) return undefined;
    const content = this.decrypt(message);
    if (!content) return undefined;
    const missing = number - this.due;
    this.due = number + 1;
    return { kind: message[0], content, missing };
  }

  private decrypt(message: Buffer): Buffer | undefined {
    const head = message.subarray(0, HEAD_BYTES);
    const decipher = createDecipheriv(CIPHER, this.key, nonceOf(head), { authTagLength: TAG_BYTES }).setAAD(head);
    decipher.setAuthTag(message.subarray(-TAG_BYTES));
    const content = decipher.update(message.subarray(HEAD_BYTES, -TAG_BYTES));
    try {
      decipher.final();
      return content;
    } catch {
      return undefined;
    }
  }
}

function nonceOf(head: Buffer): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  head.copy(nonce, 0, 1);
  return nonce;
}
