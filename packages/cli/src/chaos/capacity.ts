/** How much of the cluster was there, over time: for the throughput that was kept, the lost machines' capacity counted out. */
export interface Absence {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Mean share of `workers` that were there in [fromMs, toMs]. An absence of several workers at once counts several times.
 * Pure.
 */
export function meanCapacity(absences: readonly Absence[], workers: number, fromMs: number, toMs: number): number {
  const lostMs = absences.reduce((sum, absence) => {
    const overlap = Math.min(absence.toMs, toMs) - Math.max(absence.fromMs, fromMs);
    return sum + Math.max(0, overlap);
  }, 0);
  return 1 - lostMs / (workers * (toMs - fromMs));
}
