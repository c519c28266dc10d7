/** Who gives way where too many wait that have proved nothing: whoever comes most often, so that one address keeps nobody else out. */

/** @returns of those of the most frequent address, the one that has waited longest; undefined where nobody waits. */
export function longestOfBusiest<T>(waiting: Iterable<T>, addressOf: (one: T) => string): T | undefined {
  const byAddress = new Map<string, { readonly longest: T; count: number }>();
  for (const one of waiting) {
    const known = byAddress.get(addressOf(one));
    if (known) known.count++;
    else byAddress.set(addressOf(one), { longest: one, count: 1 });
  }
  return [...byAddress.values()].sort((a, b) => b.count - a.count)[0]?.longest;
}
