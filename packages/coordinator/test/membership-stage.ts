import { decideMembership, nextTickMs } from '../src/membership/decide.js';
import { initialMembership } from '../src/membership/state.js';
import type {
  MembershipDecision,
  MembershipEvent,
  MembershipOptions,
  MembershipState,
} from '../src/membership/types.js';

export const OPTIONS: MembershipOptions = {
  runId: 'r',
  minWorkers: 2,
  floorWorkers: 2,
  joinWindowMs: 300,
  heartbeatTimeoutMs: 5000,
  ringGraceMs: 200,
  pauseAfterFailures: 3,
  pauseMs: 5000,
  maxPauses: 2,
  createRingKey: () => 'k'.repeat(32),
};

export const ENDPOINT = { host: '127.0.0.1', port: 4000 };

/** Plays events on a virtual clock, ticking whenever a tick is due. */
export class Stage {
  nowMs = 0;
  readonly decisions: MembershipDecision[] = [];
  readonly reasons: string[] = [];
  state: MembershipState;

  constructor(private readonly options: MembershipOptions = OPTIONS) {
    this.state = initialMembership(0);
  }

  do(event: MembershipEvent): this {
    const outcome = decideMembership(this.nowMs, this.state, event, this.options);
    this.state = outcome.state;
    this.decisions.push(...outcome.decisions);
    if (outcome.reason !== '') this.reasons.push(outcome.reason);
    return this;
  }

  /** Time passes; `alive` workers send a heartbeat every second. */
  pass(ms: number, alive: readonly string[] = []): this {
    const end = this.nowMs + ms;
    let beatMs = this.nowMs + 1000;
    while (this.nowMs < end) {
      const tickMs = nextTickMs(this.state, this.options);
      this.nowMs = Math.min(end, Math.max(this.nowMs + 1, Math.min(tickMs, beatMs)));
      if (this.nowMs >= beatMs) {
        for (const workerId of alive) this.do({ type: 'heartbeat', workerId, phase: 'compute' });
        beatMs += 1000;
      }
      this.do({ type: 'tick' });
    }
    return this;
  }

  join(...ids: string[]): this {
    for (const workerId of ids) this.do({ type: 'joined', workerId, name: `n-${workerId}` });
    return this;
  }

  ready(...ids: string[]): this {
    for (const workerId of ids) this.do({ type: 'ready', workerId, endpoint: ENDPOINT, share: 1 });
    return this;
  }

  ringFails(workerId: string, suspect?: string, generation = this.state.generation): this {
    return this.do({ type: 'ring-failed', workerId, generation, step: 7, suspect });
  }

  get views() {
    return this.decisions.filter((decision) => decision.type === 'form-view').map(({ view }) => view);
  }

  get members(): string[] {
    return this.views.at(-1)?.members.map(({ workerId }) => workerId) ?? [];
  }

  get expelled(): string[] {
    return this.decisions.filter((decision) => decision.type === 'expel').map(({ workerId }) => workerId);
  }
}

export const inView = (...ids: string[]): Stage =>
  new Stage()
    .join(...ids)
    .ready(...ids)
    .pass(300);
