/** What all workers of a run are told: the view in force, and that the run is to stop. */
import { encodeMessage, type View } from '@coord/protocol';
import type { Roster } from './roster.js';
import type { RunStage } from './run-stage.js';

export class Orders {
  private stopReason = '';

  constructor(
    private readonly stage: RunStage,
    private readonly roster: Roster,
    private readonly flushLedger: () => Promise<void>,
  ) {}

  /** The ledger first: a view that somebody acts on must survive this process. */
  async publish(view: View): Promise<void> {
    await this.flushLedger();
    if (this.stage.view !== view || this.stage.phase === 'ended') return;
    const frame = encodeMessage({ type: 'view', view });
    for (const session of this.roster.participants()) {
      if (session.stage === 'ready' || session.stage === 'returned') session.stage = 'training';
      session.tellEncoded(frame);
    }
    if (this.stage.phase === 'stopping') this.tellStop();
  }

  stop(reason: string): void {
    this.stopReason = reason;
    this.tellStop();
  }

  /** Workers that have no view yet are told after their first. */
  private tellStop(): void {
    const untold = this.roster.participants().filter(({ stage, stopTold }) => stage !== 'ready' && !stopTold);
    for (const session of untold) {
      session.stopTold = true;
      session.tell({ type: 'stop', reason: this.stopReason });
    }
  }
}
