/** Connections between simulated processes: they obey the contracts of sockets, and know who is linked to whom. */
import { CoordError } from '@coord/protocol';
import { createLinkPair, type Link, type MemoryLink } from '@coord/transport';
import { createSegmentPair, type SegmentPair } from '@coord/transport/testing';
import type { Process, World } from './world.js';

/** A goodbye that cannot reach the other end is given up after this, as sockets do. */
const CLOSE_TIMEOUT_MS = 2000;

interface Connection {
  readonly ends: readonly [Process, Process];
  cut(): void;
}

export class Network {
  readonly #connections = new Set<Connection>();
  readonly #refusals = new Set<readonly [Process, Process]>();

  constructor(private readonly world: World) {}

  /** Connections between living processes that at least one end believes in. */
  get open(): number {
    return [...this.#connections].filter(({ ends }) => ends.every((process) => !process.isDead)).length;
  }

  /** @throws CoordError UNREACHABLE when the other process is dead, or nothing comes back in time. */
  async link(from: Process, to: Process, timeoutMs: number): Promise<[near: Link, far: Link]> {
    await this.reach(from, to, timeoutMs);
    const { world } = this;
    const clocks = [world.way(to, from), world.way(from, to)] as const;
    const latencyMs = world.latencyMs(from, to);
    const [near, far] = createLinkPair({ latencyMs, clocks, names: [from.name, to.name] });
    this.#remember([from, to], near.closed, far.closed, () => {
      near.cut();
      far.cut();
    });
    // It has died since it answered.
    if (to.isDead) near.cut();
    return [closing(near, from), closing(far, to)];
  }

  segments(from: Process, to: Process): SegmentPair {
    const pair = createSegmentPair({ latencyMs: this.world.latencyMs(from, to), clock: this.world.way(from, to) });
    this.#remember([from, to], pair.sender.closed, pair.receiver.closed, () => pair.cut());
    if (to.isDead || from.isDead) pair.cut();
    return pair;
  }

  /** All connections of a process end: it is dead. */
  drop(process: Process): void {
    for (const { ends, cut } of this.#connections) if (ends.includes(process)) cut();
  }

  /** Between two processes every connection is reset, and none comes about, for so long. */
  refuse(a: Process, b: Process, forMs: number): void {
    const pair = [a, b] as const;
    this.#refusals.add(pair);
    this.world.time.after(forMs, () => this.#refusals.delete(pair));
    for (const { ends, cut } of this.#connections) if (ends.includes(a) && ends.includes(b)) cut();
  }

  #isRefused(a: Process, b: Process): boolean {
    return [...this.#refusals].some((pair) => pair.includes(a) && pair.includes(b));
  }

  /** Loses one connection, whichever chance picks. */
  cutOne(pick: number): void {
    const all = [...this.#connections];
    all[Math.floor(pick * all.length)]?.cut();
  }

  /** There and back. @throws CoordError UNREACHABLE */
  reach(from: Process, to: Process, timeoutMs: number): Promise<void> {
    const { world } = this;
    const latencyMs = world.latencyMs(from, to);
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        cancel();
        reject(new CoordError('UNREACHABLE', `${from.name} cannot reach ${to.name}: ${why}`));
      };
      const cancel = from.clock.after(timeoutMs, () => fail(`no answer in ${timeoutMs} ms`));
      const answer = () => {
        cancel();
        resolve();
      };
      const isRefused = to.isDead || this.#isRefused(from, to);
      if (isRefused) from.clock.after(2 * latencyMs, () => fail('nobody is there'));
      else world.way(from, to).after(latencyMs, () => world.way(to, from).after(latencyMs, answer));
    });
  }

  #remember(ends: Connection['ends'], near: Promise<unknown>, far: Promise<unknown>, cut: () => void): void {
    const connection = { ends, cut };
    this.#connections.add(connection);
    void Promise.all([near, far]).then(() => this.#connections.delete(connection));
  }
}

/** A link whose owner does not wait for ever for a goodbye to be heard. */
const closing = (link: MemoryLink, owner: Process): Link => ({
  remote: link.remote,
  localAddress: link.localAddress,
  closed: link.closed,
  send: (message) => link.send(message),
  receive: () => link.receive(),
  close(reason) {
    const cancel = owner.clock.after(CLOSE_TIMEOUT_MS, () => link.cut());
    return link.close(reason).finally(cancel);
  },
});
