import { availableParallelism } from 'node:os';
import { CoordError, EXIT_CODE } from '@coord/protocol';
import { type AllReduceRow, benchAllReduce } from '@coord/ring/bench';
import { createShapedNetwork } from '../bench/shaped-network.js';
import { isolationOf, possibleIsolation, runIsolated } from '../chaos/isolate.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { AllReduceOptions } from '../options.js';
import { formatCount, formatTable, plural } from '../view/format.js';

/**
 * @throws CoordError CONFIG_INVALID, USAGE where `--megabits` cannot be had; ENGINE_FAILED when a sum was wrong: numbers of a wrong reduction mean nothing.
 */
export async function runBenchAllReduce(options: AllReduceOptions, io: CommandIo): Promise<number> {
  const { json, workers, sizes, rounds, against = [], transport, nats: natsUrl, wire: wires, megabits } = options;
  requireSense(options);
  if (megabits !== undefined && !isolationOf(io.env)) return runIsolated(possibleIsolation('namespaces'), io);
  const placeOf = megabits === undefined ? undefined : await placesOnLinks(workers, megabits);
  if (!json) writeLine(io.stderr, `${plural(workers, 'rank')}, ${plural(availableParallelism(), 'core')}`);
  const results = await benchAllReduce({
    ranks: workers,
    sizes,
    transport,
    natsUrl,
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

async function placesOnLinks(workers: number, megabits: number) {
  const { hostOf, prefixOf } = await createShapedNetwork(workers, megabits);
  return (rank: number) => ({ host: hostOf(rank), prefix: prefixOf(rank) });
}

function requireSense({ transport, nats, wire, megabits, against = [] }: AllReduceOptions): void {
  if (megabits !== undefined && (transport !== 'ws' || against.length > 0)) {
    throw new CoordError('CONFIG_INVALID', '--megabits limits only our own links, those of --transport ws', {
      hint: 'Leave out --against, and use --transport ws.',
    });
  }
  if (transport === 'shm' && wire.some((format) => format !== 'int32')) {
    throw new CoordError(
      'CONFIG_INVALID',
      `nothing travels between threads, so --wire ${wire.join()} has no meaning there`,
      {
        hint: 'Leave out --wire, or choose --transport ws.',
      },
    );
  }
  if (transport !== 'nats' || nats !== undefined) return;
  throw new CoordError('CONFIG_INVALID', '--transport nats needs the address of a server', {
    hint: 'Add --nats nats://HOST:PORT.',
  });
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
