/** Where a run stands: what its parts must know of each other. */
import type { View } from '@coord/protocol';

/** `stopping`: told to end at the next step; `ending`: every worker has finished; `ended`: nothing more happens. */
export type RunPhase = 'waiting' | 'training' | 'stopping' | 'ending' | 'ended';

/** Too few workers for a view. */
export interface Shortage {
  readonly present: number;
  readonly needed: number;
  /** What made them too few, and how many are ready. */
  readonly reason: string;
}

export class RunStage {
  phase: RunPhase = 'waiting';
  /** Undefined while too few workers are there. */
  view: View | undefined;
  /** Since when there is no view: why. */
  shortage: Shortage | undefined;
  /** Workers of the last view, in force or not. */
  viewSize = 0;
}
