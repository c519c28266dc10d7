/**
 * Failed attempts: how often each address has come without a right token of late. Guessing is bounded, and so is what a flood can make
 * us remember. An IPv6 network of 64 bits counts as one address, because everybody has one of those.
 */
import type { Clock } from '@coord/protocol';

const WINDOW_MS = 60_000;
const MAX_FAILURES = 20;
const MAX_ADDRESSES = 4096;

interface Failures {
  count: number;
  readonly sinceMs: number;
}

export class FailedAttempts {
  readonly #byAddress = new Map<string, Failures>();

  constructor(private readonly clock: Clock) {}

  note(address: string): void {
    const key = networkOf(address);
    const known = this.#current(key);
    if (known) known.count++;
    else this.#remember(key);
  }

  /** How long nobody from there is listened to; 0 when anybody may try. */
  blockedMs(address: string): number {
    const failures = this.#current(networkOf(address));
    if (!failures || failures.count < MAX_FAILURES) return 0;
    return Math.ceil(failures.sinceMs + WINDOW_MS - this.clock.nowMs());
  }

  #current(key: string): Failures | undefined {
    const failures = this.#byAddress.get(key);
    if (!failures || this.clock.nowMs() - failures.sinceMs < WINDOW_MS) return failures;
    this.#byAddress.delete(key);
    return undefined;
  }

  #remember(key: string): void {
    const [oldest] = this.#byAddress.keys();
    if (this.#byAddress.size >= MAX_ADDRESSES) this.#byAddress.delete(oldest);
    this.#byAddress.set(key, { count: 1, sinceMs: this.clock.nowMs() });
  }
}

/** IPv4 as it is, also where it came through an IPv6 socket; the first four groups of an IPv6 address. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:/i, '');
  if (!plain.includes(':')) return plain;
  const [head, tail = ''] = plain.split('%', 1)[0].split('::');
  const [before, after] = [head, tail].map((part) => part.split(':').filter((group) => group !== ''));
  const groups = plain.includes('::')
    ? [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after]
    : before;
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
