/** Gives the straggler rules their state: measures settled steps, and says once who begins and who ceases to hold the others up. */
import type { Clock } from '@coord/protocol';
import type { Chronicle } from './chronicle.js';
import type { StepEvent } from './events.js';
import { measuresOf } from './shares.js';
import { afterStep, noStragglers, type Straggler, stragglersOf } from './stragglers.js';
import type { WorkerSession } from './worker-session.js';

export class StragglerWatch {
  private state = noStragglers;

  constructor(
    private readonly clock: Clock,
    private readonly chronicle: Pick<Chronicle, 'straggles' | 'keepsUp'>,
    private readonly sessionOf: (workerId: string) => WorkerSession | undefined,
  ) {}

  get stragglers(): readonly Straggler[] {
    return stragglersOf(this.state);
  }

  see(step: StepEvent): void {
    const nowMs = this.clock.nowMs();
    const { state, entered, left } = afterStep(nowMs, this.state, measuresOf(step));
    this.state = state;
    for (const straggler of entered)
      this.tell(straggler, (session) => this.chronicle.straggles(session, step.step, straggler));
    for (const straggler of left) {
      const forMs = nowMs - straggler.sinceMs;
      this.tell(straggler, (session) => this.chronicle.keepsUp(session, step.step, forMs, straggler.steps));
    }
  }

  private tell({ workerId }: Straggler, say: (session: WorkerSession) => void): void {
    const session = this.sessionOf(workerId);
    if (session) say(session);
  }
}
