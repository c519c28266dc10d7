/**
 * What replicas compare before a step's sums are applied. The digest travels with the maxima: of each byte the ring gives the
 * largest value, and of its complement too, which is the complement of the smallest. They meet exactly if all digests are
 * equal, so one reduction that everybody needs anyway proves that all replicas are.
 */

/**
 * SHA-256 prefix of the weights as they came out of the last update, checksum of the weights as they are, of the exponents; and the
 * step, since an update that is left out changes nothing else.
 */
export const DIGEST_BYTES = 20;
/** The digest and its complement. */
export const SPREAD_BYTES = 2 * DIGEST_BYTES;

/** Writes the digest and its complement to `out`, ready to be reduced by max. */
export function spreadDigest(digest: Uint8Array, out: Uint8Array): void {
  for (let index = 0; index < DIGEST_BYTES; index++) {
    out[index] = digest[index];
    out[DIGEST_BYTES + index] = ~digest[index];
  }
}

/** @param reduced what `spreadDigest` wrote, after the reduction. */
export function isUnanimous(reduced: Uint8Array): boolean {
  for (let index = 0; index < DIGEST_BYTES; index++) {
    if (reduced[index] + reduced[DIGEST_BYTES + index] !== 255) return false;
  }
  return true;
}
