/** Bench of the all-reduce, in the layout of nccl-tests: size, time, algorithm and bus bandwidth, number of wrong values. */
import type { WireFormat } from '@coord/protocol';
import type { Contender, Timing } from './contender.js';
import { findTorchPython, startGloo } from './gloo.js';
import { type MemoryLinks, startMemory } from './memory.js';
import { hasMpi, startMpi } from './mpi.js';
import { type RankPlace, startProcesses } from './processes.js';
import type { ScheduleChoice } from './rank-service.js';
import { type JoinedHosts, type LeadOptions, leadHosts } from './remote-lead.js';
import { startThreads } from './threads.js';

export interface AllReduceBenchOptions {
  readonly ranks: number;
  /** Buffer sizes in bytes, multiples of 4. */
  readonly sizes: readonly number[];
  /**
   * `ws`: a process a rank and sockets between them; `uds`: the same with Unix-domain sockets; `nats`: through the server at
   * `natsUrl`; `shm`: threads of one process; `memory`: all in one thread, through buffers instead of a network.
   */
  readonly transport: 'ws' | 'uds' | 'nats' | 'shm' | 'memory';
  readonly natsUrl?: string;
  /** Links of `ws` go through TLS, as in training; rows then say `wss`. */
  readonly tls?: boolean | undefined;
  /** What links in memory are like. Default: no latency, no limit. */
  readonly memory?: MemoryLinks;
  /** Ranks on other machines, one on each; this one holds rank 0. For `ws` only. */
  readonly hosts?: Omit<LeadOptions, 'ranks'>;
  readonly schedule?: ScheduleChoice;
  /** Each is a contender of its own, in turns with the others. Default int32 alone. */
  readonly wires?: readonly WireFormat[];
  /** Where the ranks' processes run. Default: all on 127.0.0.1. */
  readonly placeOf?: (rank: number) => RankPlace;
  readonly against: readonly ('gloo' | 'mpi')[];
  /** Turns that each contender gets at each size. Default 5. */
  readonly rounds?: number;
  /** Time one turn shall take. Default 400 ms. */
  readonly turnMs?: number;
  onRow?(row: AllReduceRow): void;
  /** A contender that was asked for and is not on this machine. */
  onMissing?(name: string, why: string): void;
}

export interface PeerResult {
  readonly ms: number;
  /** The peer's time divided by ours; above 1 we are faster. */
  readonly ratio: number;
}

export interface AllReduceRow {
  readonly bytes: number;
  readonly ranks: number;
  readonly transport: string;
  readonly wire: WireFormat;
  /** Median of one all-reduce, float32 in and out. */
  readonly ms: number;
  /** 10th and 90th percentile. */
  readonly spreadMs: readonly [number, number];
  /** Buffer bytes a second. */
  readonly algbwGBps: number;
  /** Bytes a second that each link carries: algbw × 2 (N − 1) ÷ N. */
  readonly busbwGBps: number;
  readonly wrong: number;
  readonly peer: Readonly<Record<string, PeerResult>>;
}

interface NamedTiming extends Timing {
  readonly name: string;
}

const MAX_ITERATIONS = 2_000;
/** For a first idea of how long one takes. */
const PROBE_ITERATIONS = 3;

export async function benchAllReduce(options: AllReduceBenchOptions): Promise<AllReduceRow[]> {
  const { contenders, close } = await startContenders(options);
  try {
    const rows: AllReduceRow[] = [];
    for (const bytes of options.sizes) {
      for (const row of rowsOf(bytes, options, await timeInTurns(contenders, bytes, options))) {
        rows.push(row);
        options.onRow?.(row);
      }
    }
    return rows;
  } finally {
    await close();
  }
}

const ONE_WIRE: readonly WireFormat[] = ['int32'];

/** What a bench has started, and how it ends. */
interface Started {
  readonly contenders: Contender[];
  close(): Promise<void>;
}

/** Ours first, one for each wire format. */
async function startContenders(options: AllReduceBenchOptions): Promise<Started> {
  const { ranks, hosts, wires = ONE_WIRE } = options;
  const joined = hosts && (await leadHosts({ ...hosts, ranks }));
  const contenders: Contender[] = [];
  const close = async () => {
    await Promise.all(contenders.map((contender) => contender.stop()));
    await joined?.close();
  };
  try {
    for (const wire of wires) contenders.push(await startOurs(options, wire, joined));
    contenders.push(...(await startPeers(options)));
    return { contenders, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startOurs(
  { ranks, sizes, transport, schedule, natsUrl, tls, memory, placeOf }: AllReduceBenchOptions,
  wire: WireFormat,
  joined: JoinedHosts | undefined,
): Promise<Contender> {
  const maxBytes = Math.max(...sizes);
  if (joined) return joined.startRanks({ maxBytes, wire, schedule, tls });
  if (transport === 'shm') return startThreads(ranks, maxBytes);
  const setup = { ranks, maxBytes, wire, schedule, tls };
  if (transport === 'memory') return startMemory(setup, memory);
  const localSocket = transport === 'uds';
  return startProcesses({ ...setup, natsUrl: transport === 'nats' ? natsUrl : undefined, localSocket }, placeOf);
}

async function startPeers({ ranks, against, onMissing }: AllReduceBenchOptions): Promise<Contender[]> {
  const contenders: Contender[] = [];
  if (against.includes('gloo')) {
    const python = findTorchPython();
    if (python) contenders.push(await startGloo(python, ranks));
    else onMissing?.('gloo', 'no Python with torch.distributed was found');
  }
  if (against.includes('mpi')) {
    if (hasMpi()) contenders.push(await startMpi(ranks));
    else onMissing?.('mpi', 'mpicc and mpirun were not found');
  }
  return contenders;
}

async function timeInTurns(
  contenders: readonly Contender[],
  bytes: number,
  { rounds = 5, turnMs = 400 }: AllReduceBenchOptions,
): Promise<NamedTiming[]> {
  const iterations: number[] = [];
  for (const contender of contenders) iterations.push(await warmUp(contender, bytes, turnMs));
  const totals = contenders.map(({ name }) => ({ name, ms: [] as number[], wrong: 0 }));
  for (let round = 0; round < rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const { ms, wrong } = await contender.time(bytes, iterations[index]);
      totals[index].ms.push(...ms);
      totals[index].wrong += wrong;
    }
  }
  return totals;
}

/**
 * Two turns that do not count: caches and connections warm up, and compilers see the loops that they are to optimise.
 *
 * @returns how many all-reduces make a turn.
 */
async function warmUp(contender: Contender, bytes: number, turnMs: number): Promise<number> {
  let iterations = PROBE_ITERATIONS;
  for (let turn = 0; turn < 3; turn++) {
    const { ms } = await contender.time(bytes, iterations);
    iterations = Math.max(2, Math.min(MAX_ITERATIONS, Math.round(turnMs / median(ms))));
  }
  return iterations;
}

function rowsOf(bytes: number, options: AllReduceBenchOptions, timings: readonly NamedTiming[]): AllReduceRow[] {
  const { wires = ONE_WIRE } = options;
  const transport = options.tls ? 'wss' : options.transport;
  const others = timings.slice(wires.length);
  return wires.map((wire, index) => rowOf({ ...options, transport, bytes, wire, own: timings[index], others }));
}

interface RowFacts extends Pick<AllReduceRow, 'bytes' | 'ranks' | 'transport' | 'wire'> {
  readonly own: NamedTiming;
  readonly others: readonly NamedTiming[];
}

function rowOf({ bytes, ranks, transport, wire, own, others }: RowFacts): AllReduceRow {
  const ms = median(own.ms);
  const algbwGBps = bytes / ms / 1e6;
  const peer = Object.fromEntries(
    others.map(({ name, ms: theirs }) => [name, { ms: median(theirs), ratio: median(theirs) / ms }]),
  );
  return {
    bytes,
    ranks,
    transport,
    wire,
    ms,
    spreadMs: [quantile(own.ms, 0.1), quantile(own.ms, 0.9)],
    algbwGBps,
    busbwGBps: (algbwGBps * 2 * (ranks - 1)) / ranks,
    wrong: own.wrong,
    peer,
  };
}

const median = (values: readonly number[]): number => quantile(values, 0.5);

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
