/**
 * Rendezvous over NATS: the dialer listens first, then asks at the listener's subject; the listener listens before it
 * answers. So neither misses the other's first message. The subjects of a link lie below the one that is asked at, and have the
 * dialer's key in them; so has the one of the answer, which nobody can have sent elsewhere.
 */
import { CoordError, type KeyPair, LIMITS, PROTOCOL_VERSION } from '@coord/protocol';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Link } from './link.js';
import { answerDial, type ChannelAim, type Dial, Dialer, isDialProven, parseDial, refusal } from './nats-handshake.js';
import { NatsLink } from './nats-link.js';
import { answerSubject, NatsQuestion, unreachable } from './nats-question.js';
import { RecentNames } from './recent-names.js';
import type { LinkListener } from './ws-listen.js';

export interface NatsListenOptions {
  /** Subject that dialers ask at; the links live below it. */
  readonly subject: string;
  /** Proves to dialers that know its public half who answers. */
  readonly standing?: KeyPair;
  /**
   * Of the secrets that dialers may know, the one that passes; undefined where none does. Without it everybody is taken, and proves
   * over the link who it is.
   */
  match?(passes: (secret: string) => boolean): string | undefined;
  /** Somebody has asked who knows none of the secrets. */
  onRefused?(): void;
  readonly maxMessageBytes?: number;
  readonly keepAliveMs?: number;
  /** Bytes that are read of a link whose owner has not been admitted; no limit of its own where it is left out. */
  readonly strangerBytes?: number;
}

export interface NatsConnectOptions {
  readonly subject: string;
  /** That the listener matches; none where it takes everybody. */
  readonly secret?: string | undefined;
  /** Public half of the listener's standing key; where it is known, nobody else can answer. */
  readonly standingKey?: string | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly maxMessageBytes?: number;
  readonly keepAliveMs?: number;
}

/** Dials that are remembered, so that a recorded one opens nothing; those that could be made only with a secret, where there is one. */
const MAX_DIALS = 65_536;
/** Links whose dialers have not been admitted, where everybody is taken: for one more, the one that has waited longest gives way. */
const MAX_STRANGERS = 64;

const upSubject = (subject: string, id: string): string => `${subject}.${id}.up`;
const downSubject = (subject: string, id: string): string => `${subject}.${id}.down`;

export function listenNatsLinks(
  connection: NatsConnection,
  options: NatsListenOptions,
  onLink: (link: Link) => void,
): LinkListener {
  const listener = new NatsListener(connection, options, onLink);
  return { close: () => listener.close() };
}

class NatsListener {
  private readonly open = new Set<NatsLink>();
  private readonly strangers = new Set<NatsLink>();
  private readonly dials = new RecentNames(MAX_DIALS);
  private readonly subscription;

  constructor(
    private readonly connection: NatsConnection,
    private readonly options: NatsListenOptions,
    private readonly onLink: (link: Link) => void,
  ) {
    this.subscription = connection.subscribe(options.subject, {
      callback: (error, message) => {
        // A connection that is lost meanwhile has told the link.
        if (!error) this.hear(message).catch(() => {});
      },
    });
  }

  async close(): Promise<void> {
    this.subscription.unsubscribe();
    await Promise.all([...this.open].map((link) => link.close('the server is closing')));
  }

  private async hear(message: Msg): Promise<void> {
    const dial = parseDial(message.data);
    const secret = dial && this.secretOf(dial);
    if (dial?.version !== PROTOCOL_VERSION) {
      message.respond(refusal('version'));
    } else if (secret === undefined) {
      this.options.onRefused?.();
      message.respond(refusal('secret'));
    } else if (this.dials.add(dial.key)) {
      await this.accept(dial, { subject: this.options.subject, secret });
    }
  }

  private secretOf(dial: Dial): string | undefined {
    const { subject, match } = this.options;
    const passes = (secret: string) => isDialProven(dial, { subject, secret });
    return match ? match(passes) : '';
  }

  private async accept(dial: Dial, aim: ChannelAim): Promise<void> {
    const { subject, standing } = this.options;
    const answered = answerDial(dial, aim, standing);
    if (!answered) return;
    const link = this.openLink(dial.key);
    await link.ready();
    this.connection.publish(answerSubject(subject, dial.key), answered.answer);
    link.begin(answered.keys);
    this.onLink(link);
  }

  private openLink(id: string): NatsLink {
    const { subject, keepAliveMs, strangerBytes, maxMessageBytes = LIMITS.messageBytes, match } = this.options;
    const [receiveSubject, sendSubject] = [upSubject(subject, id), downSubject(subject, id)];
    // For people: the beginning of an id tells links apart.
    const ends = { remote: `nats:${subject}.${id.slice(0, 8)}`, receiveSubject, sendSubject };
    const onAdmitted = () => void this.strangers.delete(link);
    const link: NatsLink = new NatsLink({
      ...ends,
      connection: this.connection,
      maxMessageBytes,
      strangerBytes,
      keepAliveMs,
      onAdmitted,
    });
    this.open.add(link);
    void link.closed.then(() => {
      this.open.delete(link);
      this.strangers.delete(link);
    });
    if (!match) this.takeStranger(link);
    return link;
  }

  private takeStranger(link: NatsLink): void {
    const [longest] = this.strangers;
    if (this.strangers.size >= MAX_STRANGERS) {
      this.strangers.delete(longest);
      void longest.close('refused: others want to come in');
    }
    this.strangers.add(link);
  }
}

/**
 * @throws CoordError UNREACHABLE with a hint, TOKEN_WRONG (the other end does not know the secret), PROTOCOL_VERSION, NATS_DENIED, LINK_CLOSED (given up,
 *   with the signal's reason as cause).
 */
export async function connectNatsLink(connection: NatsConnection, options: NatsConnectOptions): Promise<Link> {
  const { subject, secret = '', standingKey, signal, keepAliveMs, maxMessageBytes = LIMITS.messageBytes } = options;
  if (signal?.aborted) throw givenUp(subject, signal);
  const dialer = new Dialer({ subject, secret }, standingKey);
  const [receiveSubject, sendSubject] = [downSubject(subject, dialer.id), upSubject(subject, dialer.id)];
  const remote = `nats:${subject}`;
  const link = new NatsLink({ connection, remote, receiveSubject, sendSubject, maxMessageBytes, keepAliveMs });
  const question = new NatsQuestion(connection, dialer, { ...options, onKeys: (keys) => link.begin(keys) });
  const abort = () => question.fail(givenUp(subject, signal));
  signal?.addEventListener('abort', abort, { once: true });
  void link.closed.then(({ reason }) => question.fail(unreachable(subject, reason)));
  try {
    link
      .ready()
      .then(() => question.ask())
      .catch((error) => question.fail(unreachable(subject, error.message)));
    await question.answered;
    return link;
  } catch (error) {
    // The other end, if it has taken the link meanwhile, hears of it.
    await link.close('the dial failed');
    throw error;
  } finally {
    question.end();
    signal?.removeEventListener('abort', abort);
  }
}

const givenUp = (subject: string, signal: AbortSignal | undefined): CoordError =>
  new CoordError('LINK_CLOSED', `connecting to ${subject} over NATS was given up`, {
    facts: { subject },
    cause: signal?.reason,
  });
