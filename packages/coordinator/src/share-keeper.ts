/** Gives the share rules their state: measures settled steps, and says when another division of the grains would be better. */
import type { Clock } from '@coord/protocol';
import type { StepEvent } from './events.js';
import {
  afterStep,
  DEFAULT_SHARES,
  decideShares,
  initialShares,
  inNewView,
  measuresOf,
  type ShareDecision,
  type Shareholder,
  type ShareOptions,
  type ShareState,
} from './shares.js';

export class ShareKeeper {
  private readonly options: ShareOptions;
  private state: ShareState;

  constructor(
    private readonly clock: Clock,
    /** Of a full step. */
    private readonly grains: number,
    options: Partial<ShareOptions> = {},
  ) {
    this.options = { ...DEFAULT_SHARES, ...options };
    this.state = initialShares(clock.nowMs());
  }

  viewFormed(): void {
    this.state = inNewView(this.state, this.clock.nowMs());
  }

  see(step: StepEvent): void {
    this.state = afterStep(this.state, measuresOf(step));
  }

  decide(members: readonly Shareholder[]): ShareDecision | undefined {
    return decideShares(this.clock.nowMs(), this.state, members, this.grains, this.options);
  }
}
