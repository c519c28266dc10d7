/**
 * Whereabouts: which runs have a coordinator behind a NATS server, so that a worker needs to know the server alone. Coordinators tell those
 * that know one of their tokens, so of several runs the token finds its own.
 */
import { CoordError, type KeyPair } from '@coord/protocol';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { subjectPrefix } from './nats-address.js';
import { answerDial, Dialer, isDialProven, parseDial, refusal } from './nats-handshake.js';
import { answerSubject, refusedError } from './nats-question.js';

const SUBJECT = 'coord.whereabouts';
/** Coordinators answer at once; this is for the way. */
const ASK_MS = 700;
const REFUSED_MS = 2300;

export interface RunIdentity {
  readonly standing: KeyPair;
  match(passes: (secret: string) => boolean): string | undefined;
}

/** Answers for a run as long as the connection lives. */
export function announceRun(connection: NatsConnection, runId: string, { standing, match }: RunIdentity): void {
  const answer = (message: Msg): void => {
    const dial = parseDial(message.data);
    if (!dial) return;
    const secret = match((one) => isDialProven(dial, { subject: SUBJECT, secret: one }));
    if (secret === undefined) return void message.respond(refusal('secret'));
    const answered = answerDial(dial, { subject: SUBJECT, secret }, standing, runId);
    if (answered) connection.publish(answerSubject(SUBJECT, dial.key), answered.answer);
  };
  connection.subscribe(SUBJECT, { callback: (error, message) => void (error ?? answer(message)) });
}

export interface FindOptions {
  readonly secret: string;
  /** Public half of the coordinator's standing key; then there can be one run only. */
  readonly standingKey?: string | undefined;
  /** Default 700 ms. */
  readonly askMs?: number;
  /** How much longer where nothing but refusals came, which anybody can send. Default 2300 ms. */
  readonly refusedMs?: number;
}

/** @throws CoordError UNREACHABLE when no coordinator answers; USAGE when several do; TOKEN_WRONG when those that do want another token. */
export async function findRun(connection: NatsConnection, options: FindOptions): Promise<string> {
  const search = new Search(connection, options);
  try {
    return await search.run();
  } finally {
    search.end();
  }
}

class Search {
  private readonly runs = new Set<string>();
  private readonly dialer: Dialer;
  private readonly subscription;
  private refusedError: CoordError | undefined;
  private onFound = () => {};

  constructor(
    private readonly connection: NatsConnection,
    private readonly options: FindOptions,
  ) {
    const { secret, standingKey } = options;
    this.dialer = new Dialer({ subject: SUBJECT, secret }, standingKey);
    const callback = (error: Error | null, { data }: Msg) => {
      if (!error) this.hear(data);
    };
    this.subscription = connection.subscribe(answerSubject(SUBJECT, this.dialer.id), { callback });
  }

  end(): void {
    this.subscription.unsubscribe();
  }

  async run(): Promise<string> {
    const { standingKey, askMs = ASK_MS, refusedMs = REFUSED_MS } = this.options;
    await this.connection.flush();
    this.connection.publish(SUBJECT, this.dialer.dial, { reply: answerSubject(SUBJECT, this.dialer.id) });
    await this.foundWithin(askMs, standingKey !== undefined);
    if (this.runs.size === 0 && this.refusedError) await this.foundWithin(refusedMs, true);
    const [only, ...others] = [...this.runs].sort();
    if (only !== undefined && others.length === 0) return only;
    throw only === undefined ? (this.refusedError ?? nobody()) : several([only, ...others]);
  }

  private hear(data: Uint8Array): void {
    const answer = this.dialer.readAnswer(data);
    if (answer && 'refused' in answer) this.refusedError = refusedError(SUBJECT, answer);
    else if (answer && isRun(answer.text)) {
      this.runs.add(answer.text);
      this.onFound();
    }
  }

  /** Waits so long, or until a run is found where that is the only one. */
  private foundWithin(timeoutMs: number, isOnly: boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.onFound = () => {
        if (!isOnly) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Whoever knows the token may still say what it likes. */
function isRun(runId: string): boolean {
  try {
    return subjectPrefix(runId) !== '';
  } catch {
    return false;
  }
}

const nobody = (): CoordError =>
  new CoordError('UNREACHABLE', 'no coordinator answers at this NATS server', {
    hint: 'Start one there: coord start CONFIG --transport nats --nats nats://HOST:PORT.',
  });

const several = (runs: readonly string[]): CoordError =>
  new CoordError('USAGE', `several runs are at this NATS server: ${runs.join(', ')}`, {
    hint: `Name one at the end of the address, as in nats://HOST:PORT/${runs[0]}.`,
    facts: { runs: runs.join(' ') },
  });
