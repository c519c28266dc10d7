/**
 * Checksum of a segment's bytes. TCP's own is 16 bits wide and is computed anew by whatever stands between; and a sum that
 * was damaged in the reduce-scatter reaches every rank alike, so that comparing replicas would never show it.
 *
 * The bytes are read as little-endian 32-bit words in four lanes, padded with zeros to 16 bytes. Each lane has a sum and a
 * sum of sums (after Fletcher), modulo 2^32; they are folded with odd and even factors. A change of one word changes the
 * sum by it and the sum of sums by a multiple of it, so the fold by an odd multiple: it is noticed for certain. Other
 * changes go unnoticed once in 2^32, words in another order too, unless they are of high bits alone: sums carry upwards, so
 * changes of several words in which the lowest n bits are the same go unnoticed once in 2^(32 - n), and an even number of
 * sign bits that flip always. Against faults, not against attackers.
 *
 * Source: J. G. Fletcher, "An Arithmetic Checksum for Serial Transmissions", IEEE Trans. Communications, 1982.
 *
 * This file is the reference; the WebAssembly kernel must give the same value.
 */
const LANES = 4;
const VECTOR_BYTES = 16;
const SUM_FACTORS = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f] as const;
const SUM_OF_SUMS_FACTORS = [0x165667b2, 0x2545f492, 0x61c88646, 0x7feb352e] as const;

/** @returns a signed 32-bit number. */
export function checksum(bytes: Uint8Array): number {
  const words = wordsOf(bytes);
  let folded = 0;
  for (let lane = 0; lane < LANES; lane++) folded = (folded + foldLane(words, lane)) | 0;
  return folded;
}

function foldLane(words: Int32Array, lane: number): number {
  let sum = 0;
  let sumOfSums = 0;
  for (let at = lane; at < words.length; at += LANES) {
    sum = (sum + words[at]) | 0;
    sumOfSums = (sumOfSums + sum) | 0;
  }
  return (Math.imul(sum, SUM_FACTORS[lane]) + Math.imul(sumOfSums, SUM_OF_SUMS_FACTORS[lane])) | 0;
}

/** Whole vectors, in place where they lie on word boundaries. */
function wordsOf(bytes: Uint8Array): Int32Array {
  if (bytes.byteOffset % 4 === 0 && bytes.byteLength % VECTOR_BYTES === 0) {
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / VECTOR_BYTES) * VECTOR_BYTES);
  padded.set(bytes);
  return new Int32Array(padded.buffer);
}
