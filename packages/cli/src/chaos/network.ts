/**
 * The network of a chaos run. Every worker reaches the coordinator, and is reached by its neighbours, through a proxy of its
 * own. Where namespaces can be had, every worker lives in one, and a partition takes its network card down.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';
import type { Endpoint } from '@coord/protocol';
import { FaultyProxy, type Slowness } from './proxy.js';

const run = promisify(execFile);
const ip = (...args: readonly string[]) => run('ip', args);

/** One address of this side for all namespaces, whatever their cards. */
const HUB = '10.77.255.1';
const PEER_PORT = 7071;

/** How one worker is connected. */
export interface WorkerNetwork {
  /** What its command line begins with, to run it where it lives. */
  readonly prefix: readonly string[];
  /** The coordinator's host and port, as this worker has to dial it. */
  readonly coordinator: Endpoint;
  readonly listen: Endpoint;
  readonly advertise: Endpoint;
  /** Nothing comes or goes, and no connection ends. */
  partition(on: boolean): Promise<void>;
  cut(on: boolean): void;
  slow(slowness: Slowness | undefined): void;
  /** Resolves when a bit has flipped. */
  damage(link: 'ring' | 'coordinator'): Promise<void>;
  close(): Promise<void>;
}

export interface NetworkOptions {
  readonly namespaces: boolean;
  /** Where the coordinator listens; asked at every connection. */
  readonly coordinator: () => Endpoint;
}

/** Of this process's own network namespace, which must not be the machine's. */
export async function prepareNamespaces(): Promise<void> {
  await ip('link', 'set', 'lo', 'up');
  await ip('addr', 'add', `${HUB}/32`, 'dev', 'lo');
  await run('mkdir', ['-p', '/run/netns']);
  await run('mount', ['-t', 'tmpfs', 'coord-chaos', '/run/netns']);
}

export async function connectWorker(
  number: number,
  { namespaces, coordinator }: NetworkOptions,
): Promise<WorkerNetwork> {
  const place = namespaces ? await createNamespace(number) : await localPlace();
  const toCoordinator = await FaultyProxy.start(place.hub, coordinator);
  const toPeer = await FaultyProxy.start(place.hub, () => place.listen);
  const both = [toCoordinator, toPeer];
  return {
    prefix: place.prefix,
    listen: place.listen,
    coordinator: { host: place.hub, port: toCoordinator.port },
    advertise: { host: place.hub, port: toPeer.port },
    async partition(on) {
      if (place.card) await ip('link', 'set', place.card, on ? 'down' : 'up');
      else for (const proxy of both) on ? proxy.pause() : proxy.resume();
    },
    cut(on) {
      for (const proxy of both) on ? proxy.cut() : proxy.restore();
    },
    slow(slowness) {
      for (const proxy of both) proxy.slow(slowness);
    },
    damage: (link) => new Promise((resolve) => (link === 'ring' ? toPeer : toCoordinator).damage(resolve)),
    async close() {
      await Promise.all(both.map((proxy) => proxy.close()));
    },
  };
}

interface Place {
  readonly prefix: readonly string[];
  /** Where this process is found from there. */
  readonly hub: string;
  readonly listen: Endpoint;
  /** Its network card, as it is called here. */
  readonly card?: string;
}

async function createNamespace(number: number): Promise<Place> {
  const name = `worker-${number}`;
  const card = `chaos${number}`;
  const network = `10.77.${number}`;
  await ip('netns', 'add', name);
  await ip('link', 'add', card, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  await ip('addr', 'add', `${network}.1/30`, 'dev', card);
  await ip('link', 'set', card, 'up');
  for (const args of [
    ['link', 'set', 'lo', 'up'],
    ['addr', 'add', `${network}.2/30`, 'dev', 'eth0'],
    ['link', 'set', 'eth0', 'up'],
    ['route', 'add', 'default', 'via', `${network}.1`],
  ]) {
    await ip('-n', name, ...args);
  }
  const listen = { host: `${network}.2`, port: PEER_PORT };
  return { prefix: ['ip', 'netns', 'exec', name], hub: HUB, listen, card };
}

async function localPlace(): Promise<Place> {
  const host = '127.0.0.1';
  return { prefix: [], hub: host, listen: { host, port: await freePort(host) } };
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
