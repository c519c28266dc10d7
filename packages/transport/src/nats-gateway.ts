/**
 * Gateway: a process's way to its NATS server. A lost connection is replaced by a new one as soon as the server can be
 * reached again; links over the old one are lost, as over a broken socket.
 */
import { CoordError } from '@coord/protocol';
import type { NatsConnection } from '@nats-io/transport-node';
import { type NatsOpenOptions, openNats } from './nats-connection.js';
import { isOfConnection } from './nats-errors.js';

const RETRY_MS = 500;

export type OnConnection = (connection: NatsConnection) => void;

export class NatsGateway {
  readonly #handlers = new Set<OnConnection>();
  readonly #closed = new AbortController();
  #live: NatsConnection | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(private readonly options: NatsOpenOptions) {}

  /** @throws CoordError UNREACHABLE when there is no server now; TOKEN_WRONG when it refuses the credentials. */
  static async open(options: NatsOpenOptions): Promise<NatsGateway> {
    const gateway = new NatsGateway(options);
    gateway.#adopt(await openNats(options));
    return gateway;
  }

  /** The connection that lives now. @throws CoordError UNREACHABLE while there is none. */
  get connection(): NatsConnection {
    if (this.#live && !this.#live.isClosed()) return this.#live;
    const { servers } = this.options;
    throw new CoordError('UNREACHABLE', `the NATS server at ${servers} cannot be reached`, { facts: { servers } });
  }

  /** For notices that nobody depends on: without a connection, or longer than the server takes, they are dropped. */
  tryPublish(subject: string, text: string): void {
    const connection = this.#live;
    if (!connection || connection.isClosed()) return;
    if (Buffer.byteLength(text) > (connection.info?.max_payload ?? Number.POSITIVE_INFINITY)) return;
    try {
      connection.publish(subject, text);
    } catch (error) {
      if (!isOfConnection(error)) throw error;
    }
  }

  /** Calls `handler` with the live connection, and with every one that comes after it. @returns what ends that. */
  onConnection(handler: OnConnection): () => void {
    this.#handlers.add(handler);
    if (this.#live) handler(this.#live);
    return () => void this.#handlers.delete(handler);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    clearTimeout(this.#timer);
    this.#handlers.clear();
    await this.#live?.drain().catch(() => {});
  }

  #adopt(connection: NatsConnection): void {
    this.#live = connection;
    void connection.closed().then(() => this.#onLost());
    for (const handler of this.#handlers) handler(connection);
  }

  #onLost(): void {
    this.#live = undefined;
    if (!this.#closed.signal.aborted) this.#retryLater();
  }

  #retryLater(): void {
    this.#timer = setTimeout(() => void this.#retry(), RETRY_MS);
  }

  async #retry(): Promise<void> {
    try {
      const connection = await openNats(this.options);
      if (this.#closed.signal.aborted) await connection.close();
      else this.#adopt(connection);
    } catch {
      if (!this.#closed.signal.aborted) this.#retryLater();
    }
  }
}
