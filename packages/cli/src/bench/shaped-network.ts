/**
 * A small network inside this process's own network namespace: a bridge, and a namespace for each worker whose card sends at a
 * limited rate. What a worker receives is what one other worker sends to it, so both directions are limited.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const ip = (...args: readonly string[]) => execute('ip', args);

const NETWORK = '10.79.0';
const BRIDGE = 'bench';
/** What a card may send at once: enough for the timer that lets it send more. */
const BURST_BYTES = 256 * 1024;
const QUEUE_MS = 50;

export interface ShapedNetwork {
  /** Where the coordinator listens for the workers. */
  readonly hub: string;
  /** Address of worker `index`. */
  hostOf(index: number): string;
  /** What the command line of worker `index` begins with. */
  prefixOf(index: number): readonly string[];
}

/** Everything ends with the namespace of this process. */
export async function createShapedNetwork(workers: number, megabitsPerSecond: number): Promise<ShapedNetwork> {
  const hub = `${NETWORK}.254`;
  await ip('link', 'set', 'lo', 'up');
  await execute('mkdir', ['-p', '/run/netns']);
  await execute('mount', ['-t', 'tmpfs', 'coord-bench', '/run/netns']);
  await ip('link', 'add', BRIDGE, 'type', 'bridge');
  await ip('addr', 'add', `${hub}/24`, 'dev', BRIDGE);
  await ip('link', 'set', BRIDGE, 'up');
  for (let index = 0; index < workers; index++) await createNamespace(index, megabitsPerSecond);
  return { hub, hostOf, prefixOf: (index) => ['ip', 'netns', 'exec', nameOf(index)] };
}

const nameOf = (index: number): string => `worker-${index + 1}`;
const hostOf = (index: number): string => `${NETWORK}.${index + 1}`;

async function createNamespace(index: number, megabitsPerSecond: number): Promise<void> {
  const name = nameOf(index);
  const card = `${BRIDGE}${index + 1}`;
  await ip('netns', 'add', name);
  await ip('link', 'add', card, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  await ip('link', 'set', card, 'master', BRIDGE, 'up');
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('-n', name, 'addr', 'add', `${hostOf(index)}/24`, 'dev', 'eth0');
  await ip('-n', name, 'link', 'set', 'eth0', 'up');
  const rate = ['rate', `${megabitsPerSecond}mbit`, 'burst', `${BURST_BYTES}`, 'latency', `${QUEUE_MS}ms`];
  await execute('tc', ['-n', name, 'qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', ...rate]);
}
