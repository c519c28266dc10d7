/** Votes: workers say the same thing, or the odd ones are named. */
export interface Verdict {
  /** What more than half of the voters said; undefined when no opinion has a majority. */
  readonly majority: string | undefined;
  /** Voters of another opinion than the majority's, in the order of voting; all voters when there is none. */
  readonly dissenters: readonly string[];
}

/** @param opinions worker id → opinion; at least one. */
export function countVotes(opinions: ReadonlyMap<string, string>): Verdict {
  const counts = new Map<string, number>();
  for (const opinion of opinions.values()) counts.set(opinion, (counts.get(opinion) ?? 0) + 1);
  const winner = [...counts].find(([, count]) => count * 2 > opinions.size)?.[0];
  const dissenters = [...opinions].filter(([, opinion]) => opinion !== winner).map(([voter]) => voter);
  return { majority: winner, dissenters };
}
