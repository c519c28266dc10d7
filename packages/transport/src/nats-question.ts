/**
 * Question: a dial that waits for its answer. Anybody may answer in the listener's place, also that it refuses, or that nobody is there: the
 * right answer is taken whenever it comes, and what others say counts only when it has not come for a while.
 */
import { CoordError, PROTOCOL_VERSION } from '@coord/protocol';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { deniedError } from './nats-errors.js';
import type { ChannelKeys, Dialer, Refusal } from './nats-handshake.js';

export interface QuestionOptions {
  /** That is asked at. */
  readonly subject: string;
  readonly timeoutMs: number;
  /** In the turn in which the answer comes: what the listener says behind it must find the keys. */
  onKeys(keys: ChannelKeys): void;
}

/** Whoever is there answers in a moment, unless it is very busy. */
const NOBODY_MS = 300;
const REFUSED_MS = 3000;
/** Status of the server's own answer where nobody has subscribed to a subject. */
const NO_RESPONDERS = 503;
/** The whole time, and one for each thing that others may say. */
const MAX_TIMERS = 4;

export const answerSubject = (subject: string, id: string): string => `${subject}.${id}.answer`;

export class NatsQuestion {
  /** Rejects with the error of `fail`, UNREACHABLE, TOKEN_WRONG, PROTOCOL_VERSION or NATS_DENIED. */
  readonly answered: Promise<void>;
  fail!: (error: CoordError) => void;
  private succeed!: () => void;
  private readonly subscription: Subscription;
  private readonly timers: NodeJS.Timeout[] = [];
  private refusal: CoordError | undefined;

  constructor(
    private readonly connection: NatsConnection,
    private readonly dialer: Dialer,
    private readonly options: QuestionOptions,
  ) {
    const { subject, timeoutMs } = options;
    this.answered = new Promise((resolve, reject) => {
      this.succeed = resolve;
      this.fail = reject;
    });
    // Whoever waits hears of it; where nobody waits yet, it is asked for in a moment.
    this.answered.catch(() => {});
    this.subscription = connection.subscribe(answerSubject(subject, dialer.id), {
      callback: (error, message) => (error ? this.fail(deniedError(error)) : this.hear(message)),
    });
    this.failIn(timeoutMs, () => this.refusal ?? unreachable(subject, `no answer within ${timeoutMs} ms`));
  }

  ask(): void {
    const { subject } = this.options;
    this.connection.publish(subject, this.dialer.dial, { reply: answerSubject(subject, this.dialer.id) });
  }

  end(): void {
    this.timers.forEach(clearTimeout);
    this.subscription.unsubscribe();
  }

  private hear({ data, headers }: Msg): void {
    const { subject, onKeys } = this.options;
    const answer = this.dialer.readAnswer(data);
    if (answer && 'send' in answer) {
      this.subscription.unsubscribe();
      onKeys(answer);
      this.succeed();
    } else if (answer) {
      const refusal = refusedError(subject, answer);
      this.refusal = refusal;
      this.failIn(REFUSED_MS, () => refusal);
    } else if (headers?.code === NO_RESPONDERS)
      this.failIn(NOBODY_MS, () => unreachable(subject, 'nobody listens there'));
  }

  private failIn(afterMs: number, error: () => CoordError): void {
    // A flood of wrong answers needs no more timers than the first ones.
    if (this.timers.length < MAX_TIMERS) this.timers.push(setTimeout(() => this.fail(error()), afterMs));
  }
}

export function refusedError(subject: string, { refused, version }: Refusal): CoordError {
  if (refused === 'secret') return tokenWrong(subject);
  return new CoordError(
    'PROTOCOL_VERSION',
    `the coordinator at ${subject} speaks protocol version ${version}, this worker version ${PROTOCOL_VERSION}`,
    {
      facts: { remote: subject, coordinatorVersion: version, workerVersion: PROTOCOL_VERSION },
      hint: `Install the same version of coord on both machines; ${version < PROTOCOL_VERSION ? 'the coordinator' : 'the worker'} is the older one.`,
    },
  );
}

const tokenWrong = (subject: string): CoordError =>
  new CoordError('TOKEN_WRONG', `${subject} does not take this join token`, {
    facts: { subject },
    hint: 'Copy the whole `coord worker …` line that `coord start` printed: every new run makes a token of its own unless --token is given, and tokens can be revoked.',
  });

export const unreachable = (subject: string, why: string): CoordError =>
  new CoordError('UNREACHABLE', `cannot reach ${subject} over NATS: ${why}`, {
    hint: 'Check that the other end runs and uses the same NATS server and subject.',
    facts: { subject },
  });
