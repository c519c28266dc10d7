/**
 * A message with the CRC-32 of its bytes behind it. TCP's own checksum is 16 bits wide and is computed anew by whatever
 * stands between two ends; a number that changes on its way would still be a well-formed message.
 */
import { crc32 } from 'node:zlib';

export const CHECK_BYTES = 4;

export function addCheck(message: Uint8Array): Uint8Array {
  const checked = Buffer.allocUnsafe(message.byteLength + CHECK_BYTES);
  checked.set(message);
  setCheck(checked);
  return checked;
}

/** Fills the last bytes, which are kept free for it, with the check of all others. */
export function setCheck(checked: Buffer): void {
  const sizeBytes = checked.byteLength - CHECK_BYTES;
  checked.writeUInt32LE(crc32(checked.subarray(0, sizeBytes)), sizeBytes);
}

/** The message without its check; undefined when they do not belong together. */
export function removeCheck(checked: Buffer): Buffer | undefined {
  const sizeBytes = checked.byteLength - CHECK_BYTES;
  if (sizeBytes < 0) return undefined;
  const message = checked.subarray(0, sizeBytes);
  return crc32(message) === checked.readUInt32LE(sizeBytes) ? message : undefined;
}
