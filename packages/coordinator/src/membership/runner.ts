/** Gives the membership rules their state, their clock and a way to act. */
import type { Clock, ErrorCode, View } from '@coord/protocol';
import { decideMembership, nextTickMs } from './decide.js';
import { initialMembership, isAwaitingReturns } from './state.js';
import type {
  MembershipDecision,
  MembershipEvent,
  MembershipOptions,
  MembershipPast,
  MembershipState,
} from './types.js';

export interface MembershipActions {
  formView(view: View): void;
  expel(workerId: string, code: ErrorCode, reason: string): void;
  wait(present: number, needed: number, reason: string): void;
  /** Who has not come back from the time before this start by now is not waited for any longer. */
  returnsEnded(): void;
  /** Something was decided or noted; repeated only when it changes. */
  explain(reason: string): void;
}

export class MembershipRunner {
  private current: MembershipState;
  private cancelTick: () => void = () => {};
  private lastReason = '';
  /** What has been decided and not been carried out yet. */
  private readonly due: (() => void)[] = [];
  private isActing = false;

  constructor(
    private readonly clock: Clock,
    private readonly options: MembershipOptions,
    private readonly actions: MembershipActions,
    past: MembershipPast,
    returnWindowMs: number,
  ) {
    this.current = initialMembership(clock.nowMs(), past, returnWindowMs);
    this.scheduleTick();
  }

  get state(): MembershipState {
    return this.current;
  }

  apply(event: MembershipEvent): void {
    const { state, decisions, reason } = decideMembership(this.clock.nowMs(), this.current, event, this.options);
    const wasAwaiting = isAwaitingReturns(this.current);
    this.current = state;
    this.scheduleTick();
    if (reason !== '' && reason !== this.lastReason) {
      this.lastReason = reason;
      this.actions.explain(reason);
    }
    for (const decision of decisions) this.due.push(() => this.carryOut(decision));
    if (wasAwaiting && !isAwaitingReturns(state)) this.due.push(() => this.actions.returnsEnded());
    this.act();
  }

  /**
   * In the order in which it was decided: what is carried out may lead to further events (an expelled worker's last step is settled, and
   * the grains are dealt out anew), and a view that they form must not come before the one that was decided first.
   */
  private act(): void {
    if (this.isActing) return;
    this.isActing = true;
    try {
      for (let next = this.due.shift(); next; next = this.due.shift()) next();
    } finally {
      this.isActing = false;
    }
  }

  close(): void {
    this.cancelTick();
    this.scheduleTick = () => {};
  }

  private carryOut(decision: MembershipDecision): void {
    switch (decision.type) {
      case 'form-view':
        this.actions.formView(decision.view);
        break;
      case 'expel':
        this.actions.expel(decision.workerId, decision.code, decision.reason);
        break;
      case 'wait':
        this.actions.wait(decision.present, decision.needed, decision.reason);
        break;
      default:
        decision satisfies never;
    }
  }

  private scheduleTick(): void {
    this.cancelTick();
    const delayMs = Math.max(1, nextTickMs(this.current, this.options) - this.clock.nowMs());
    this.cancelTick = this.clock.after(delayMs, () => this.apply({ type: 'tick' }));
  }
}
