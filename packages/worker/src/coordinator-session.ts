/** A worker's side of its connection to the coordinator: join handshake, then messages in both directions. */
import {
  CoordError,
  type CoordinatorMessage,
  type CoordinatorMessageOf,
  coordinatorMessageSchema,
  createNonce,
  decodeMessage,
  ERROR_RULES,
  encodeMessage,
  type Hello,
  isCoordError,
  isJoinProof,
  joinProof,
  knownErrorCode,
  PROTOCOL_VERSION,
  type StateMessage,
  type View,
  type WorkerMessage,
} from '@coord/protocol';
import type { Link } from '@coord/transport';

export interface JoinIdentity {
  readonly token: string;
  readonly name: string;
  readonly hostName: string;
  /** What the worker was before it lost its coordinator. */
  readonly returns?: Hello['returns'];
}

export type Welcome = CoordinatorMessageOf<'welcome'>;

/** What the coordinator may say once the worker is in. */
export interface SessionHandlers {
  /** A heartbeat has come back. */
  onEcho(echo: CoordinatorMessageOf<'heartbeat-echo'>): void;
  onView(view: CoordinatorMessageOf<'view'>['view']): void;
  onStateRequest(session: CoordinatorSession): void;
  /** Leave at the next step boundary. */
  onDrain(reason: string): void;
  onStop(reason: string): void;
  onGoodbye(): void;
  onClosed(error: CoordError): void;
}

export class CoordinatorSession {
  readonly #blocks = new Map<string, ((data: Uint8Array | null) => void)[]>();
  #onPeers: ((view: View | null) => void) | undefined;
  #onState: ((message: StateMessage) => void) | undefined;
  #handlers: SessionHandlers | undefined;
  #closed: CoordError | undefined;
  readonly #lost: ((error: CoordError) => void)[] = [];

  private constructor(
    private readonly link: Link,
    readonly welcome: Welcome,
  ) {}

  /**
   * @throws CoordError TOKEN_WRONG, PROTOCOL_VERSION or JOIN_REFUSED (what the coordinator said), MESSAGE_UNEXPECTED,
   *   LINK_CLOSED.
   */
  static async join(link: Link, identity: JoinIdentity): Promise<CoordinatorSession> {
    const challenge = await expectMessage(link, 'challenge');
    requireVersion(challenge.protocolVersion, link.remote);
    const context = {
      serverNonce: challenge.serverNonce,
      clientNonce: createNonce(),
      channelBinding: link.channelBinding,
    };
    await link.send(
      encodeMessage({
        type: 'hello',
        protocolVersion: PROTOCOL_VERSION,
        proof: joinProof(identity.token, 'worker', context),
        clientNonce: context.clientNonce,
        name: identity.name,
        hostName: identity.hostName,
        pid: process.pid,
        returns: identity.returns,
      }),
    );
    const welcome = await expectMessage(link, 'welcome');
    if (!isJoinProof(welcome.proof, identity.token, 'coordinator', context)) {
      throw new CoordError('TOKEN_WRONG', `the coordinator at ${link.remote} does not know this join token`, {
        hint: 'Check URL and token: paste the line that `coord start` prints.',
      });
    }
    return new CoordinatorSession(link, welcome);
  }

  /** Starts to hear messages; call once. */
  listen(handlers: SessionHandlers): void {
    this.#handlers = handlers;
    void this.#readAll();
  }

  /** Messages to a lost coordinator are dropped: whoever waits on it hears `onClosed`. */
  async send(message: WorkerMessage): Promise<void> {
    try {
      await this.link.send(encodeMessage(message));
    } catch (error) {
      if (!(error instanceof CoordError)) throw error;
    }
  }

  /** @throws CoordError BLOCK_UNAVAILABLE when the coordinator has no such block, COORDINATOR_LOST. */
  requestBlock(sha256: string): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      const waiting = this.#blocks.get(sha256) ?? [];
      this.#blocks.set(sha256, waiting);
      waiting.push((data) => (data ? resolve(data) : reject(this.#closed ?? blockUnavailable(sha256))));
      if (waiting.length === 1) void this.send({ type: 'block-request', sha256 });
    });
  }

  /** Asks for the coordinator's newest state; `onMessage` sees its parts in order. */
  requestState(onMessage: (message: StateMessage) => void): void {
    this.#onState = onMessage;
    void this.send({ type: 'state-request' });
  }

  /** The view in force, which this worker is not in; null when nobody trains. @throws CoordError COORDINATOR_LOST. */
  requestPeers(): Promise<View | null> {
    return new Promise((resolve, reject) => {
      this.#onPeers = resolve;
      this.onLost(reject);
      void this.send({ type: 'peers-request' });
    });
  }

  /** Calls back once the connection is lost, at once if it already is. */
  onLost(callback: (error: CoordError) => void): void {
    if (this.#closed) callback(this.#closed);
    else this.#lost.push(callback);
  }

  async close(reason: string): Promise<void> {
    await this.link.close(reason);
  }

  async #readAll(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.link.receive();
        this.#dispatch(decodeMessage(coordinatorMessageSchema, frame, { from: 'the coordinator' }));
      }
    } catch (cause) {
      this.#closed = cause instanceof CoordError && cause.code !== 'LINK_CLOSED' ? cause : coordinatorLost(cause);
      for (const waiting of this.#blocks.values()) for (const settle of waiting) settle(null);
      for (const callback of this.#lost) callback(this.#closed);
      this.#handlers?.onClosed(this.#closed);
      await this.link.close('the worker cannot go on');
    }
  }

  #dispatch(message: CoordinatorMessage): void {
    switch (message.type) {
      case 'heartbeat-echo':
        this.#handlers?.onEcho(message);
        return;
      case 'view':
        this.#handlers?.onView(message.view);
        return;
      case 'peers':
        this.#onPeers?.(message.view);
        return;
      case 'block':
        this.#settleBlock(message.sha256, message.data);
        return;
      case 'state-begin':
      case 'state-chunk':
      case 'state-end':
        this.#onState?.(message);
        return;
      case 'state-request':
        this.#handlers?.onStateRequest(this);
        return;
      case 'drain':
        this.#handlers?.onDrain(message.reason);
        return;
      case 'stop':
        this.#handlers?.onStop(message.reason);
        return;
      case 'goodbye':
        this.#handlers?.onGoodbye();
        return;
      case 'refused':
      case 'expelled':
        throw refusal(message);
      case 'challenge':
      case 'welcome':
        throw new CoordError('MESSAGE_UNEXPECTED', `the coordinator sent ${message.type} after the handshake`);
    }
    message satisfies never;
  }

  #settleBlock(sha256: string, data: Uint8Array | null): void {
    const waiting = this.#blocks.get(sha256) ?? [];
    this.#blocks.delete(sha256);
    for (const settle of waiting) settle(data);
  }
}

async function expectMessage<T extends CoordinatorMessage['type']>(
  link: Link,
  type: T,
): Promise<CoordinatorMessageOf<T>> {
  const message = decodeMessage(coordinatorMessageSchema, await link.receive(), {
    from: `the coordinator at ${link.remote}`,
  });
  if (message.type === 'refused') throw refusal(message);
  if (message.type !== type) {
    throw new CoordError(
      'MESSAGE_UNEXPECTED',
      `the coordinator at ${link.remote} sent ${message.type} where ${type} was due`,
      {
        hint: 'Is this the address of a coord coordinator?',
      },
    );
  }
  return message as CoordinatorMessageOf<T>;
}

function requireVersion(theirs: number, remote: string): void {
  if (theirs === PROTOCOL_VERSION) return;
  const older = theirs < PROTOCOL_VERSION ? 'the coordinator' : 'this worker';
  throw new CoordError(
    'PROTOCOL_VERSION',
    `the coordinator at ${remote} speaks protocol ${theirs}, this worker ${PROTOCOL_VERSION}`,
    {
      hint: `Install the same version of coord on both machines; ${older} is the older one.`,
      facts: { coordinatorVersion: theirs, workerVersion: PROTOCOL_VERSION },
    },
  );
}

function refusal(message: CoordinatorMessageOf<'refused'> | CoordinatorMessageOf<'expelled'>): CoordError {
  // Silence is nobody's fault (a stopped process, a cut network): whoever can hear this may come back.
  if (message.type === 'expelled' && message.code === 'LINK_TIMEOUT') return coordinatorLost(message.message);
  const code = knownErrorCode(message.code) ?? 'JOIN_REFUSED';
  const hint = message.type === 'refused' ? message.hint : "See the coordinator's log and ledger for the evidence.";
  return new CoordError(ERROR_RULES[code].family === 'fatal' ? code : 'JOIN_REFUSED', message.message, { hint });
}

const coordinatorLost = (cause: unknown): CoordError =>
  new CoordError('COORDINATOR_LOST', 'the connection to the coordinator is gone', { cause });

export const isCoordinatorLost = (error: unknown): error is CoordError => isCoordError(error, 'COORDINATOR_LOST');

const blockUnavailable = (sha256: string): CoordError =>
  new CoordError('BLOCK_UNAVAILABLE', `the coordinator has no data block ${sha256.slice(0, 12)}…`, {
    facts: { sha256 },
  });
