/** How much of the cluster was there, over time: for the throughput that was kept, the lost machines' capacity counted out. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Of a worker. */
export type Absence = Span;

/**
 * What is left of [fromMs, toMs] without the disturbances and `settleMs` after each, in order. Pure.
 */
export function calmSpans(disturbances: readonly Span[], fromMs: number, toMs: number, settleMs: number): Span[] {
  const calm: Span[] = [];
  let freeFromMs = fromMs;
  for (const one of [...disturbances].sort((a, b) => a.fromMs - b.fromMs)) {
    const endMs = Math.min(one.fromMs, toMs);
    if (endMs > freeFromMs) calm.push({ fromMs: freeFromMs, toMs: endMs });
    freeFromMs = Math.max(freeFromMs, one.toMs + settleMs);
  }
  if (toMs > freeFromMs) calm.push({ fromMs: freeFromMs, toMs });
  return calm;
}

/** Who is away, since when, and for how long others were. */
export class AbsenceLog {
  private readonly over: Absence[] = [];
  private readonly open = new Map<string, number>();

  leave(name: string, atMs: number): void {
    if (!this.open.has(name)) this.open.set(name, atMs);
  }

  comeBack(name: string, atMs: number): void {
    const fromMs = this.open.get(name);
    if (fromMs === undefined || !this.open.delete(name)) return;
    this.over.push({ fromMs, toMs: atMs });
  }

  get isEverybodyThere(): boolean {
    return this.open.size === 0;
  }

  all(nowMs: number): Absence[] {
    return [...this.over, ...[...this.open.values()].map((fromMs) => ({ fromMs, toMs: nowMs }))];
  }
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
