/** The start of a view, on a virtual clock: who is behind copies, however long that takes, and nobody is left waiting. */
import { createArena, createLayout, encodeMessage, hashWeights, type RunSpec, type View } from '@coord/protocol';
import { createRing, RING_SCRATCH_BYTES, type Ring, referenceKernels } from '@coord/ring';
import type { Link, PeerNetwork } from '@coord/transport';
import { createLinkPair, createSegmentPair, VirtualClock } from '@coord/transport/testing';
import { describe, expect, it } from 'vitest';
import { NOTHING_HELD } from '../src/grain-book.js';
import { HostState } from '../src/host-state.js';
import { LinkKeys } from '../src/link-keys.js';
import { challengePeer } from '../src/peer-handshake.js';
import { serveState } from '../src/state-link.js';
import { StateServer } from '../src/state-server.js';
import { type Agreement, type Split, synchronise } from '../src/synchronise.js';

const TIMEOUT_MS = 15_000;
const LAYOUT = createLayout([{ name: 'kernel', shape: [5000], role: 'trainable' }]);
const run = { batch: { grains: 4 } } as RunSpec;

function stateAt(step: number): HostState {
  const weights = Float32Array.from({ length: LAYOUT.totalSize }, (_, index) => step + index / 8);
  const exponents = new Uint8Array(LAYOUT.blockCount).fill(step);
  const state = new HostState(LAYOUT, weights, new Map(), exponents, referenceKernels.checksum);
  state.step = step;
  state.weightsSha256 = hashWeights(LAYOUT, weights);
  return state;
}

/** Three hosts in one ring, of which the second is behind. */
class Cluster {
  readonly clock = new VirtualClock();
  readonly states = [5, 3, 5].map(stateAt);
  readonly keys = this.states.map(() => new LinkKeys());
  readonly rings: Ring[] = [];
  readonly outcomes: Promise<Agreement | Split>[] = [];
  readonly view: View;
  private readonly handlers: ((link: Link) => void)[] = [];

  /** @param dialMs how long a link to a peer takes to be there: stands for a copy that takes long. */
  constructor(
    private readonly dialMs: number,
    serve: (cluster: Cluster, rank: number) => void = serveAsAlways,
  ) {
    const members = this.keys.map(({ publicKey: linkKey }, rank) => {
      const endpoint = { host: '192.0.2.1', port: rank + 1 };
      return { workerId: `w${rank}`, name: `worker ${rank}`, endpoint, linkKey, share: 1, workers: 1 };
    });
    this.view = { runId: 'r', generation: 1, ringKey: 'the key of this view', reason: 'test', members };
    const pairs = members.map(() => createSegmentPair());
    members.forEach((_, rank) => {
      serve(this, rank);
      const links = { next: pairs[rank].sender, prev: pairs[(rank + 2) % 3].receiver };
      const options = { rank, size: 3, timeoutMs: TIMEOUT_MS, clock: this.clock, ...links };
      this.rings.push(createRing(options, createArena(RING_SCRATCH_BYTES)));
    });
    members.forEach((_, rank) => {
      this.outcomes.push(this.enter(rank));
    });
  }

  network(rank: number): PeerNetwork {
    return {
      onLink: (_service: string, handler: (link: Link) => void) => {
        this.handlers[rank] = handler;
      },
      dialLink: async ({ port }: { port: number }) => {
        await new Promise<void>((resolve) => this.clock.after(this.dialMs, resolve));
        const [near, far] = createLinkPair();
        this.handlers[port - 1](far);
        return near;
      },
    } as unknown as PeerNetwork;
  }

  private async enter(rank: number): Promise<Agreement | Split> {
    const { clock, view } = this;
    const [ring, keys, state] = [this.rings[rank], this.keys[rank], this.states[rank]];
    const { signal } = new AbortController();
    const about = {
      step: state.step,
      evaluatedStep: -1,
      stopped: false,
      updateNumber: state.updateNumber(),
      isDoubted: false,
    };
    const around = { run, network: this.network(rank), keys, clock, timeoutMs: TIMEOUT_MS, reach: async () => false };
    try {
      return await synchronise({ ring, view, rank, signal, ...around }, state, {
        ...about,
        attempt: 0,
        held: NOTHING_HELD,
      });
    } catch (error) {
      // As the step loop does.
      void ring.close();
      throw error;
    }
  }
}

function serveAsAlways(cluster: Cluster, rank: number): void {
  const { clock, view } = cluster;
  const service = { network: cluster.network(rank), keys: cluster.keys[rank], view: () => view, clock };
  serveState({ ...service, timeoutMs: TIMEOUT_MS }, new StateServer(cluster.states[rank]));
}

/** Begins as it should, and says nothing more. */
function serveHalf(cluster: Cluster, rank: number): void {
  const [keys, state] = [cluster.keys[rank], cluster.states[rank]];
  cluster.network(rank).onLink('state', async (link) => {
    await challengePeer(link, { service: 'state', keys, view: () => cluster.view });
    await link.receive();
    const { step, weightsSha256 } = state;
    await link.send(encodeMessage({ type: 'copy-begin', step, weightsSha256, checkNumber: state.checkNumber() }));
  });
}

const expectBroken = (outcomes: readonly Promise<unknown>[]) =>
  Promise.all(outcomes.map((outcome) => expect(outcome).rejects.toMatchObject({ family: 'recoverable' })));

describe('who is behind', () => {
  it('copies for longer than a ring may be silent, while the others wait', async () => {
    const cluster = new Cluster(10 * TIMEOUT_MS);
    const agreed = Promise.all(cluster.outcomes);
    await cluster.clock.pass(11 * TIMEOUT_MS);
    for (const outcome of await agreed) expect(outcome).toMatchObject({ type: 'agreed' });
    expect(cluster.states[1].testimony()).toEqual(stateAt(5).testimony());
    await Promise.all(cluster.rings.map((ring) => ring.close()));
    expect(cluster.clock.pending).toBe(0);
  });

  it('does not wait for ever for a source that falls silent, and neither do the others', async () => {
    const cluster = new Cluster(10, serveHalf);
    const broken = expectBroken(cluster.outcomes);
    await cluster.clock.pass(2 * TIMEOUT_MS);
    await broken;
    expect(cluster.states[1].testimony()).toEqual(stateAt(3).testimony());
    expect(cluster.clock.pending).toBe(0);
  });

  it('has ended its copy when the ring breaks meanwhile', async () => {
    const cluster = new Cluster(2 * TIMEOUT_MS);
    const broken = expectBroken(cluster.outcomes);
    await cluster.rings[2].close();
    await cluster.clock.pass(10 * TIMEOUT_MS);
    await broken;
    expect(cluster.states[1].replacements).toBe(0);
    expect(cluster.clock.pending).toBe(0);
  });
});
