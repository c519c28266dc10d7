/**
 * Segment links over NATS, for hosts that can only dial out. Each byte passes the server twice; see the decisions on when
 * that is acceptable.
 *
 * Rendezvous: the sending end listens at a subject that names generation and both ranks; the receiving end asks there, and again
 * when the sending end says that it is *here*. Both prove the key of their link. Whatever else is said there changes nothing: each goes on
 * waiting for the other.
 */
import type { NatsConnection } from '@nats-io/transport-node';
import type { LinkClosed } from './link.js';
import { linkClosedError } from './link.js';
import { NatsChannel } from './nats-channel.js';
import { isOfConnection } from './nats-errors.js';
import { answerDial, type ChannelAim, Dialer, isDialProven, parseDial } from './nats-handshake.js';
import { NatsMeeting } from './nats-meeting.js';
import { answerSubject } from './nats-question.js';
import { PartsInbox } from './parts-inbox.js';
import { DEFAULT_PURPOSE, type SegmentLinkOptions, type SegmentReceiver, type SegmentSender } from './segment-link.js';

/** As for sockets: a promise to memory on one side and to the ring's segments on the other. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** As for sockets: a host whose neighbour hangs must get to the next view. */
const CLOSE_TIMEOUT_MS = 300;
/** Dials that are answered for one link: a dial of before, sent again, proves the key as well. */
const MAX_DIALS = 8;

export interface NatsSegmentOptions extends SegmentLinkOptions {
  readonly connection: NatsConnection;
  /** Root of the run's subjects, e.g. `coord.RUN`. */
  readonly prefix: string;
  /** Rank of the sending end; `rank` is that of the receiving end. */
  readonly senderRank: number;
  readonly keepAliveMs?: number;
}

const subjectOf = ({ prefix, generation, senderRank, rank, purpose = DEFAULT_PURPOSE }: NatsSegmentOptions): string =>
  `${prefix}.${purpose}.${generation}.${senderRank}-${rank}`;

const aimOf = (options: NatsSegmentOptions): ChannelAim => ({ subject: subjectOf(options), secret: options.key });

/** @throws CoordError LINK_TIMEOUT, LINK_CLOSED (the server is lost), NATS_DENIED, or the signal's reason. */
export const acceptNatsSegments = (options: NatsSegmentOptions): Promise<SegmentSender> =>
  orLinkClosed(accept(options), `rank ${options.rank}`);

/** @throws CoordError LINK_TIMEOUT, LINK_CLOSED (the server is lost), NATS_DENIED, or the signal's reason. */
export const dialNatsSegments = (options: NatsSegmentOptions): Promise<SegmentReceiver> =>
  orLinkClosed(dial(options), `rank ${options.senderRank}`);

/** With the server a link is lost, no more: callers open another one when it is back. */
async function orLinkClosed<T>(opening: Promise<T>, remote: string): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    if (!isOfConnection(error)) throw error;
    throw linkClosedError(remote, { reason: `the NATS server is lost: ${error.message}`, clean: false });
  }
}

async function accept(options: NatsSegmentOptions): Promise<NatsSegmentSender> {
  const { connection, rank } = options;
  const subject = subjectOf(options);
  const meeting = new NatsMeeting<NatsSegmentSender>(options, `rank ${rank}`, 'did not ask for its ring link');
  const asked = new Set<string>();
  const answer = async (data: Uint8Array): Promise<void> => {
    const dial = parseDial(data);
    if (!dial || !isDialProven(dial, aimOf(options)) || asked.has(dial.key) || asked.size >= MAX_DIALS) return;
    asked.add(dial.key);
    const answered = answerDial(dial, aimOf(options));
    if (!answered) return;
    const end = meeting.consider(new NatsSegmentSender(options, dial.key));
    await end.channel.ready();
    connection.publish(answerSubject(subject, dial.key), answered.answer);
    end.channel.begin(answered.keys);
    // Who has recorded a dial cannot say anything that opens.
    await end.channel.heard;
    meeting.succeed(end);
  };
  return meeting.hold(() => {
    meeting.hear(subject, ({ data }) => void answer(data).catch(meeting.fail));
    const here = () => connection.publish(`${subject}.here`);
    connection.flush().then(here).catch(meeting.fail);
  });
}

async function dial(options: NatsSegmentOptions): Promise<NatsSegmentReceiver> {
  const { connection, senderRank } = options;
  const subject = subjectOf(options);
  const meeting = new NatsMeeting<NatsSegmentReceiver>(
    options,
    `rank ${senderRank}`,
    'did not answer the dial of its ring link',
  );
  const dialer = new Dialer(aimOf(options));
  const ask = () => connection.publish(subject, dialer.dial);
  return meeting.hold(() => {
    const end = meeting.consider(new NatsSegmentReceiver(options, dialer.id));
    meeting.hear(answerSubject(subject, dialer.id), ({ data }) => {
      const answer = dialer.readAnswer(data);
      if (!answer || 'refused' in answer) return;
      end.channel.begin(answer);
      meeting.succeed(end);
    });
    meeting.hear(`${subject}.here`, ask);
    end.channel.ready().then(ask).catch(meeting.fail);
  });
}

class NatsSegmentSender implements SegmentSender {
  readonly channel: NatsChannel;

  constructor(options: NatsSegmentOptions, id: string) {
    const subject = `${subjectOf(options)}.${id}`;
    this.channel = new NatsChannel({
      ...options,
      remote: `rank ${options.rank}`,
      sendSubject: `${subject}.data`,
      receiveSubject: `${subject}.credit`,
      maxFrameBytes: MAX_FRAME_BYTES,
      closeTimeoutMs: CLOSE_TIMEOUT_MS,
      onFrame: () => this.channel.refuse('it sent data against the direction of a one-way link'),
      onClosed() {},
    });
  }

  get closed(): Promise<LinkClosed> {
    return this.channel.closed;
  }

  send(...parts: readonly Uint8Array[]): Promise<void> {
    return this.channel.outcome ? Promise.reject(this.channel.closedError()) : this.channel.send(parts);
  }

  beat(value: number): void {
    this.channel.beat(value);
  }

  close(): void {
    void this.channel.close('closed by the sender');
  }
}

class NatsSegmentReceiver implements SegmentReceiver {
  readonly channel: NatsChannel;
  private readonly inbox: PartsInbox;
  private heard: (value: number) => void = () => {};

  constructor(options: NatsSegmentOptions, id: string) {
    const subject = `${subjectOf(options)}.${id}`;
    const remote = `rank ${options.senderRank}`;
    this.inbox = new PartsInbox({
      remote,
      onRead: (sizeBytes) => this.channel.consumed(sizeBytes),
      onMisfit: (error) => this.channel.refuse(error.message),
    });
    this.channel = new NatsChannel({
      ...options,
      remote,
      sendSubject: `${subject}.credit`,
      receiveSubject: `${subject}.data`,
      maxFrameBytes: MAX_FRAME_BYTES,
      closeTimeoutMs: CLOSE_TIMEOUT_MS,
      onFrame: (frame) => this.inbox.push(frame),
      onBeat: (value) => this.heard(value),
      onClosed: () => this.inbox.finish(() => this.channel.closedError()),
    });
  }

  get closed(): Promise<LinkClosed> {
    return this.channel.closed;
  }

  receive(parts: readonly Uint8Array[]): Promise<void> {
    return this.inbox.receive(parts);
  }

  onBeat(callback: (value: number) => void): void {
    this.heard = callback;
  }

  close(): void {
    this.inbox.fail(linkClosedError('the sender', { reason: 'closed by the receiver', clean: true }));
    void this.channel.close('closed by the receiver');
  }
}
