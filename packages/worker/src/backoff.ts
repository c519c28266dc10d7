/** How long to wait before the next attempt to reach a coordinator that is gone. */

const FIRST_MS = 200;
const LONGEST_MS = 5000;

/**
 * Doubles from 200 ms up to 5 s; up to half of it is left out at random, so that a thousand workers that lost the same
 * coordinator at the same moment do not come back at the same moment.
 *
 * @param attempt from 0.
 * @param random uniform in [0, 1).
 */
export function backoffMs(attempt: number, random: () => number): number {
  const fullMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.max(FIRST_MS, fullMs * (1 - random() / 2));
}
