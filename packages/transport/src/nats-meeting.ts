/** Meeting of the two ends of a segment link over NATS: it succeeds, fails, is late or is given up, whichever comes first. */
import { CoordError } from '@coord/protocol';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { linkClosedError } from './link.js';
import type { NatsChannel } from './nats-channel.js';
import { whenClosed } from './nats-closings.js';
import { deniedError } from './nats-errors.js';
import { givenUpError, type SegmentLinkOptions } from './segment-link.js';

export interface MeetingOptions extends SegmentLinkOptions {
  readonly connection: NatsConnection;
}

export class NatsMeeting<End extends { readonly channel: NatsChannel }> {
  succeed!: (end: End) => void;
  fail!: (error: Error) => void;
  private readonly done: Promise<End>;
  private readonly ends: End[] = [];
  private readonly subscriptions: Subscription[] = [];

  /** @param remote the other end, and what it has not done when it is late; both for people. */
  constructor(
    private readonly options: MeetingOptions,
    private readonly remote: string,
    private readonly lateText: string,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.succeed = resolve;
      this.fail = reject;
    });
    // Whoever waits hears of it; where nobody waits yet, another error is on its way.
    this.done.catch(() => {});
  }

  /** Keeps an end that the other one may turn out to have; those that nobody has are closed in the end. */
  consider(end: End): End {
    this.ends.push(end);
    return end;
  }

  /** Hears what is said at a subject, until the meeting is over. */
  hear(subject: string, act: (message: Msg) => void): void {
    const callback = (error: Error | null, message: Msg) => {
      if (error) this.fail(deniedError(error));
      else this.orFail(() => act(message));
    };
    this.subscriptions.push(this.options.connection.subscribe(subject, { callback }));
  }

  /** @returns the end that has met the other one. Whatever becomes of it: nothing of the meeting is left. */
  async hold(begin: () => void): Promise<End> {
    const { connection, signal, timeoutMs } = this.options;
    const abort = () => this.fail(givenUpError(this.remote, signal));
    const timer = setTimeout(() => this.fail(this.lateError()), timeoutMs);
    const forget = whenClosed(connection, () => this.fail(this.lostError()));
    signal?.addEventListener('abort', abort, { once: true });
    let met: End | undefined;
    try {
      if (signal?.aborted) abort();
      else this.orFail(begin);
      met = await this.done;
      return met;
    } finally {
      clearTimeout(timer);
      forget();
      signal?.removeEventListener('abort', abort);
      for (const subscription of this.subscriptions) subscription.unsubscribe();
      for (const end of this.ends) if (end !== met) end.channel.lose('it was never used');
    }
  }

  private orFail(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.fail(error as Error);
    }
  }

  private lateError(): CoordError {
    const { generation, rank, timeoutMs } = this.options;
    const what = `${this.remote} ${this.lateText} in generation ${generation} within ${timeoutMs} ms`;
    return new CoordError('LINK_TIMEOUT', what, { facts: { generation, rank, timeoutMs } });
  }

  private lostError = (): CoordError =>
    linkClosedError(this.remote, { reason: 'the connection to the NATS server is closed', clean: false });
}
