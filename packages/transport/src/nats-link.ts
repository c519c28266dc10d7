/** A message link over a NATS channel. */
import type { NatsConnection } from '@nats-io/transport-node';
import { Inbox } from './inbox.js';
import type { Link, LinkClosed } from './link.js';
import { NatsChannel } from './nats-channel.js';
import type { ChannelKeys } from './nats-handshake.js';

export interface NatsLinkOptions {
  readonly connection: NatsConnection;
  readonly remote: string;
  readonly sendSubject: string;
  readonly receiveSubject: string;
  readonly maxMessageBytes: number;
  readonly strangerBytes?: number | undefined;
  onAdmitted?(): void;
  readonly keepAliveMs?: number;
}

export class NatsLink implements Link {
  readonly remote: string;
  readonly localAddress: string;
  private readonly channel: NatsChannel;
  private readonly inbox: Inbox;
  private unreadBytes = 0;
  private binding = '';

  constructor(private readonly options: NatsLinkOptions) {
    this.remote = options.remote;
    this.localAddress = options.receiveSubject;
    this.inbox = new Inbox(() => this.creditRead());
    this.channel = new NatsChannel({
      ...options,
      maxFrameBytes: options.maxMessageBytes,
      onFrame: (frame) => this.onFrame(frame),
      onClosed: () => this.inbox.finish(() => this.channel.closedError()),
    });
  }

  get closed(): Promise<LinkClosed> {
    return this.channel.closed;
  }

  get channelBinding(): string {
    return this.binding;
  }

  /** The keys are agreed on: from now on it speaks, and hears. */
  begin(keys: ChannelKeys): void {
    this.binding ||= keys.binding;
    this.channel.begin(keys);
  }

  /** Resolves when the server knows that this end listens. */
  ready(): Promise<void> {
    return this.channel.ready();
  }

  admit(): void {
    this.options.onAdmitted?.();
    this.channel.admit();
  }

  send(message: Uint8Array): Promise<void> {
    return this.channel.outcome ? Promise.reject(this.channel.closedError()) : this.channel.send([message]);
  }

  receive(): Promise<Uint8Array> {
    return this.inbox.take();
  }

  close(reason = 'closed by the other end'): Promise<void> {
    return this.channel.close(reason);
  }

  private onFrame(frame: Uint8Array): void {
    this.unreadBytes += frame.byteLength;
    this.inbox.push(frame);
    this.creditRead();
  }

  private creditRead(): void {
    const readBytes = this.unreadBytes - this.inbox.sizeBytes;
    this.unreadBytes = this.inbox.sizeBytes;
    this.channel.consumed(readBytes);
  }
}
