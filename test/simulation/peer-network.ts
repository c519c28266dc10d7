/** The peer network in a simulated world: dials meet accepts, as over sockets. */
import { CoordError, type Endpoint, type PeerEndpoint } from '@coord/protocol';
import type { Link, PeerNetwork, PeerSegmentOptions, SegmentReceiver, SegmentSender } from '@coord/transport';
import type { Network } from './network.js';
import type { Process } from './world.js';

interface Dial {
  readonly from: Process;
  readonly options: PeerSegmentOptions;
  resolve(receiver: SegmentReceiver): void;
  reject(error: Error): void;
}

interface Accept {
  readonly options: PeerSegmentOptions;
  resolve(sender: SegmentSender): void;
}

type LinkHandler = (link: Link) => void;

/** Every host that listens, by its port: what an address leads to. */
export type Directory = Map<number, SimulatedPeers>;

const nameOf = ({ generation, senderRank, rank, purpose = 'ring' }: PeerSegmentOptions): string =>
  `${purpose} ${generation} ${senderRank} ${rank}`;

export class SimulatedPeers implements PeerNetwork {
  readonly endpoint: Endpoint;
  readonly #dials = new Map<string, Dial>();
  readonly #accepts = new Map<string, Accept>();
  readonly #handlers = new Map<string, LinkHandler>();
  readonly #senders = new Set<SegmentSender>();
  #newest = 0;
  #isClosed = false;

  constructor(
    readonly process: Process,
    private readonly network: Network,
    private readonly directory: Directory,
  ) {
    this.endpoint = { host: '192.0.2.1', port: 1000 + directory.size };
    directory.set(this.endpoint.port, this);
  }

  acceptSegments(options: PeerSegmentOptions): Promise<SegmentSender> {
    this.#enter(options.generation);
    return this.#meeting<SegmentSender>(options, 'did not dial', (resolve) => {
      const name = nameOf(options);
      this.#accepts.set(name, { options, resolve });
      this.#meet(name);
      return () => this.#accepts.delete(name);
    });
  }

  async dialSegments(peer: PeerEndpoint, options: PeerSegmentOptions): Promise<SegmentReceiver> {
    const to = this.#peerAt(peer);
    return this.#meeting<SegmentReceiver>(options, 'did not answer the dial', (resolve, reject) => {
      const name = nameOf(options);
      const dial: Dial = { from: this.process, options, resolve, reject };
      this.network.reach(this.process, to.process, options.timeoutMs).then(
        () => to.#arrive(name, dial),
        (cause) => reject(ringBroken(options, cause.message)),
      );
      return () => void (to.#dials.get(name) === dial && to.#dials.delete(name));
    });
  }

  onLink(service: string, handler: LinkHandler): void {
    this.#handlers.set(service, handler);
  }

  async dialLink(peer: PeerEndpoint, service: string, { timeoutMs }: { timeoutMs: number }): Promise<Link> {
    const to = this.#peerAt(peer);
    const [near, far] = await this.network.link(this.process, to.process, timeoutMs);
    const handler = to.#isClosed ? undefined : to.#handlers.get(service);
    if (handler) handler(far);
    else void far.close('nothing is served here');
    return near;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const sender of this.#senders) sender.close();
    for (const { reject, options } of this.#dials.values()) reject(ringBroken(options, 'this host is leaving'));
    this.#dials.clear();
  }

  #peerAt(peer: PeerEndpoint): SimulatedPeers {
    return this.directory.get((peer as Endpoint).port) as SimulatedPeers;
  }

  /** Dials of older generations are refused from now on. */
  #enter(generation: number): void {
    this.#newest = Math.max(this.#newest, generation);
    for (const [name, dial] of this.#dials) {
      if (dial.options.generation >= this.#newest) continue;
      this.#dials.delete(name);
      dial.reject(ringBroken(dial.options, 'this generation is over'));
    }
  }

  #arrive(name: string, dial: Dial): void {
    if (this.#isClosed) dial.reject(ringBroken(dial.options, 'this host is leaving'));
    else if (dial.options.generation < this.#newest) dial.reject(ringBroken(dial.options, 'this generation is over'));
    else {
      this.#dials.set(name, dial);
      this.#meet(name);
    }
  }

  #meet(name: string): void {
    const [dial, accept] = [this.#dials.get(name), this.#accepts.get(name)];
    if (!dial || !accept) return;
    this.#dials.delete(name);
    this.#accepts.delete(name);
    if (dial.options.key !== accept.options.key) {
      dial.reject(ringBroken(dial.options, 'the proof is wrong'));
      return;
    }
    const { sender, receiver } = this.network.segments(this.process, dial.from);
    this.#senders.add(sender);
    void sender.closed.then(() => this.#senders.delete(sender));
    accept.resolve(sender);
    dial.resolve(receiver);
  }

  /** A promise that is late at some time, and given up with its signal. */
  #meeting<T extends SegmentSender | SegmentReceiver>(
    { timeoutMs, signal, generation, rank }: PeerSegmentOptions,
    lateText: string,
    begin: (resolve: (end: T) => void, reject: (error: Error) => void) => () => void,
  ): Promise<T> {
    let settle = () => {};
    const meeting = new Promise<T>((resolve, reject) => {
      let isOver = false;
      const abort = () => reject(signal?.reason as Error);
      const cancelTimer = this.process.clock.after(timeoutMs, () =>
        reject(new CoordError('LINK_TIMEOUT', `rank ${rank} ${lateText} in generation ${generation}`)),
      );
      signal?.addEventListener('abort', abort, { once: true });
      // A link that comes when nobody waits any more must not stay open.
      const end = begin((link) => (isOver ? link.close() : resolve(link)), reject);
      settle = () => {
        isOver = true;
        end();
        cancelTimer();
        signal?.removeEventListener('abort', abort);
      };
      if (signal?.aborted) abort();
    });
    meeting.then(settle, settle);
    return meeting;
  }
}

const ringBroken = ({ generation, rank, senderRank }: PeerSegmentOptions, why: string): CoordError =>
  new CoordError('RING_BROKEN', `rank ${rank} cannot link to rank ${senderRank} in generation ${generation}: ${why}`);
