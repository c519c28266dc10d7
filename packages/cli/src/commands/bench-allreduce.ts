import { availableParallelism, hostname } from 'node:os';
import { CoordError, createToken, type Endpoint, EXIT_CODE } from '@coord/protocol';
import { type AllReduceRow, benchAllReduce, joinBench } from '@coord/ring/bench';
import { createShapedNetwork } from '../bench/shaped-network.js';
import { isolationOf, possibleIsolation, runIsolated } from '../chaos/isolate.js';
import { endWithParent } from '../chaos/parent.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { AllReduceOptions } from '../options.js';
import { findToken, requireToken } from '../token.js';
import { formatCount, formatTable, plural } from '../view/format.js';

/**
 * @throws CoordError CONFIG_INVALID; USAGE where `--megabits` cannot be had; ENGINE_FAILED when a sum was wrong: numbers of a
 *   wrong reduction mean nothing; TOKEN_WRONG, UNREACHABLE, LINK_CLOSED between machines.
 */
export async function runBenchAllReduce(options: AllReduceOptions, io: CommandIo): Promise<number> {
  if (options.join !== undefined) return join(options.join, options, io);
  const { json, workers, sizes, rounds, against = [], transport, nats: natsUrl, wire: wires, schedule, tls } = options;
  requireSense(options);
  const megabits = transport === 'memory' ? undefined : options.megabits;
  if (megabits !== undefined && !isolationOf(io.env)) return runIsolated(inNamespaces(), io);
  if (isolationOf(io.env)) endWithParent(() => io.exit(EXIT_CODE.interrupted));
  const placeOf = megabits === undefined ? undefined : await placesOnLinks(workers, megabits);
  if (!json) writeLine(io.stderr, `${plural(workers, 'rank')}, ${plural(availableParallelism(), 'core')}`);
  const results = await benchAllReduce({
    ranks: workers,
    sizes,
    transport,
    natsUrl,
    tls,
    memory: linksInMemory(options),
    hosts: options.listen && hostsAt(options.listen, options, io),
    schedule,
    wires,
    placeOf,
    against,
    rounds,
    onRow: (row) =>
      json ? writeJson(io.stdout, { event: 'bench-row', ...row }) : writeLine(io.stderr, progressOf(row)),
    onMissing: (name, why) => writeLine(io.stderr, `${name} is left out: ${why}`),
  });
  if (json) writeJson(io.stdout, { cores: availableParallelism(), results });
  else writeLine(io.stdout, report(results));
  requireRight(results);
  return EXIT_CODE.ok;
}

const inNamespaces = () => possibleIsolation('namespaces', '--transport memory');

async function join(url: string, { token, json }: AllReduceOptions, io: CommandIo): Promise<number> {
  const onJoined = () => (json ? writeJson(io.stdout, { event: 'joined' }) : writeLine(io.stdout, 'joined the bench'));
  await joinBench({ url, token: requireToken(token, io.env), onJoined });
  if (!json) writeLine(io.stdout, 'the bench is over');
  return EXIT_CODE.ok;
}

/** Others join with a token, as workers do, also on this machine. */
function hostsAt(listen: Endpoint, { token, workers, json }: AllReduceOptions, io: CommandIo) {
  const secret = findToken(token, io.env) ?? createToken();
  return {
    listen,
    token: secret,
    onListening({ host, port }: Endpoint) {
      const url = `ws://${reachableHost(host)}:${port}`;
      if (json) writeJson(io.stdout, { event: 'bench-listening', url, token: secret });
      else writeLine(io.stderr, joinLine(url, secret, workers - 1));
    },
    onJoined(remote: string, missing: number) {
      if (!json) writeLine(io.stderr, `${remote} has joined, ${plural(missing, 'machine')} to come`);
    },
    onRefused: ({ message }: CoordError) => writeLine(io.stderr, `refused: ${message}`),
  };
}

const joinLine = (url: string, token: string, others: number): string =>
  `on ${others === 1 ? 'the other machine' : `each of the ${others} other machines`}:\n  npx coord bench allreduce --join ${url} --token ${token}`;

/** Who listens everywhere is reached by its name. */
function reachableHost(host: string): string {
  const name = host === '0.0.0.0' || host === '::' ? hostname() : host;
  return name.includes(':') ? `[${name}]` : name;
}

const linksInMemory = ({ megabits, latency }: AllReduceOptions) => ({
  latencyMs: latency,
  bytesPerSecond: megabits === undefined ? undefined : (megabits * 1e6) / 8,
});

async function placesOnLinks(workers: number, megabits: number) {
  const { hostOf, prefixOf } = await createShapedNetwork(workers, megabits);
  return (rank: number) => ({ host: hostOf(rank), prefix: prefixOf(rank) });
}

const senseless = (message: string, hint: string): CoordError => new CoordError('CONFIG_INVALID', message, { hint });

function requireSense(options: AllReduceOptions): void {
  const { transport, nats, wire, workers, megabits, latency, listen, token, tls, against = [] } = options;
  if (tls && transport !== 'ws') {
    throw senseless(`--tls is of links between sockets, not of --transport ${transport}`, 'Use --transport ws.');
  }
  if (megabits !== undefined && ((transport !== 'ws' && transport !== 'memory') || against.length > 0 || listen)) {
    throw senseless(
      '--megabits limits only our own links, those of --transport ws on this machine, and of --transport memory',
      'Leave out --against and --listen, and use --transport ws or memory.',
    );
  }
  if (latency !== undefined && transport !== 'memory') {
    throw senseless('--latency is of links in memory', 'Add --transport memory.');
  }
  if (listen && (transport !== 'ws' || against.length > 0)) {
    throw senseless(
      'between machines only --transport ws is measured, and no peer',
      'Leave out --against, and use --transport ws.',
    );
  }
  if (transport === 'shm' && wire.some((format) => format !== 'int32')) {
    throw senseless(
      `nothing travels between threads, so --wire ${wire.join()} has no meaning there`,
      'Leave out --wire, or choose --transport ws.',
    );
  }
  if (transport === 'nats' && nats === undefined) {
    throw senseless('--transport nats needs the address of a server', 'Add --nats nats://HOST:PORT.');
  }
  if (nats !== undefined && transport !== 'nats') {
    throw senseless(`--nats means nothing with --transport ${transport}`, 'Add --transport nats.');
  }
  if (listen && workers === 1) {
    throw senseless('--workers 1 leaves no rank to another machine', 'Leave out --listen, or take more workers.');
  }
  if (token !== undefined && !listen) {
    throw senseless('--token is for machines that join', 'Add --listen HOST:PORT or --join URL.');
  }
}

const progressOf = (row: AllReduceRow): string =>
  `${formatCount(row.bytes)} bytes, ${row.wire}: ${row.ms.toFixed(3)} ms`;

function requireRight(results: readonly AllReduceRow[]): void {
  const bad = results.find((row) => row.wrong > 0);
  if (!bad) return;
  const { bytes, wrong } = bad;
  throw new CoordError('ENGINE_FAILED', `${wrong} sums of the all-reduce of ${bytes} bytes were wrong`, {
    hint: 'This is a bug in coord or a fault of the machine; run it again and report what it prints.',
    facts: { bytes, wrong },
  });
}

/** The columns of nccl-tests, and how many times longer each peer takes. */
function report(results: readonly AllReduceRow[]): string {
  const peers = [...new Set(results.flatMap((row) => Object.keys(row.peer)))];
  const rows = results.map((row) => [
    formatCount(row.bytes),
    formatCount(row.bytes / 4),
    'float32',
    row.wire,
    row.transport,
    row.ms.toFixed(3),
    `${row.spreadMs[0].toFixed(3)}–${row.spreadMs[1].toFixed(3)}`,
    row.algbwGBps.toFixed(3),
    row.busbwGBps.toFixed(3),
    String(row.wrong),
    ...peers.flatMap((peer) => [row.peer[peer].ms.toFixed(3), `${row.peer[peer].ratio.toFixed(2)}×`]),
  ]);
  const own = ['bytes', 'count', 'type', 'wire', 'link', 'ms', 'p10–p90', 'algbw GB/s', 'busbw GB/s', 'wrong'];
  return formatTable([...own, ...peers.flatMap((peer) => [`${peer} ms`, `${peer} ÷ ours`])], rows);
}
