/** Options as commander hands them over, and the readers of their values. */
import type { TokenRole } from '@coord/coordinator';
import { type Endpoint, type EngineName, WIRE_FORMATS, type WireFormat } from '@coord/protocol';
import { type AllReduceBenchOptions, MOST_RANKS, type ScheduleChoice } from '@coord/ring/bench';
import { InvalidArgumentError } from 'commander';
import type { NetworkChoice } from './chaos/isolate.js';
import { FAULT_KINDS, type FaultKind } from './chaos/schedule.js';
import { LISTEN_PATTERN, parseListen } from './listen.js';

export interface StartOptions {
  readonly workers?: string;
  readonly listen?: string;
  readonly minWorkers?: string;
  readonly floorWorkers?: string;
  readonly maxWorkers?: string;
  readonly transport?: string;
  readonly nats?: string;
  readonly runDir?: string;
  readonly resume?: string;
  readonly seed?: string;
  readonly set?: readonly string[];
  readonly token?: string;
  readonly tls?: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export interface WorkerOptions {
  readonly token?: string;
  readonly name?: string;
  readonly workers?: number;
  /** Numbers of NVIDIA devices. */
  readonly devices?: readonly number[];
  readonly engine?: EngineName;
  /** Seconds. */
  readonly patience?: number;
  /** Seconds. */
  readonly wait: number;
  readonly cacheDir?: string;
  readonly listen?: Endpoint;
  readonly advertise?: { readonly host: string; readonly port?: number };
  readonly localSocket?: boolean;
  readonly logDir?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export interface StatusOptions {
  readonly token?: string;
  readonly json?: boolean;
}

export interface TokenOptions {
  readonly token?: string;
  readonly json?: boolean;
}

export interface TokenCreateOptions extends TokenOptions {
  readonly name: string;
  readonly role: TokenRole;
  /** In milliseconds. */
  readonly expires?: number;
}

export interface TokenRevokeOptions extends TokenOptions {
  readonly disconnect?: boolean;
}

export interface TokenRotateOptions extends TokenRevokeOptions {
  /** In milliseconds. */
  readonly grace?: number;
}

export interface ExportOptions {
  readonly format: 'tfjs' | 'safetensors';
  readonly out: string;
  readonly json?: boolean;
}

export interface JsonOptions {
  readonly json?: boolean;
}

export interface ModelsShowOptions extends JsonOptions {
  readonly set?: readonly string[];
}

export interface DrainOptions extends StatusOptions {
  readonly url: string;
}

export interface AuditOptions extends JsonOptions {
  readonly execute?: number;
}

export interface TimelineOptions extends JsonOptions {
  readonly out?: string;
  readonly flight?: readonly string[];
}

export interface DoctorOptions {
  readonly bench?: boolean;
  readonly coordinator?: string;
  readonly token?: string;
  readonly cacheDir?: string;
  readonly json?: boolean;
}

export interface ScalingOptions {
  readonly workers: readonly number[];
  readonly repeats: number;
  readonly steps: number;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

export interface ChaosOptions extends JsonOptions {
  readonly workers: number;
  readonly faults: number;
  readonly steps?: number;
  readonly minutes?: number;
  /** Seconds. */
  readonly every: number;
  readonly kinds?: readonly FaultKind[];
  readonly seed: number;
  readonly schedule?: string;
  readonly network: NetworkChoice;
  /** Milliseconds. */
  readonly pace?: number;
  readonly spare: number;
  readonly watch?: boolean;
  readonly measure?: boolean;
  readonly keep?: string;
  readonly set?: readonly string[];
}

export interface OverlapOptions extends JsonOptions {
  readonly workers: number;
  /** Rate of each worker's link, Mbit/s. */
  readonly megabits: number;
  readonly links: 'auto' | 'namespaces' | 'limited';
  readonly repeats: number;
  readonly steps: number;
  readonly timeline?: string;
  readonly set?: readonly string[];
}

type Peer = AllReduceBenchOptions['against'][number];

export interface AllReduceOptions {
  readonly workers: number;
  /** In bytes. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly against?: readonly Peer[];
  readonly transport: 'ws' | 'uds' | 'shm' | 'nats' | 'memory';
  readonly nats?: string;
  readonly wire: readonly WireFormat[];
  /** Rate of each rank's link, Mbit/s. */
  readonly megabits?: number;
  /** Of links in memory, milliseconds. */
  readonly latency?: number;
  readonly schedule: ScheduleChoice;
  /** Links are encrypted, each rank with a certificate of its own. */
  readonly tls?: boolean;
  /** Where this machine waits for others; where it joins another one. */
  readonly listen?: Endpoint;
  readonly join?: string;
  readonly token?: string;
  readonly json?: boolean;
}

export function readPositive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected an integer of at least 1.');
  return Number(text);
}

/** As many as a configuration may ask for; a machine should not be asked for more by a slip of the pen. */
const MOST_WORKERS = 1024;

const readUpTo =
  (most: number) =>
  (text: string): number => {
    const number = readPositive(text);
    if (number > most) throw new InvalidArgumentError(`Expected an integer from 1 to ${most}.`);
    return number;
  };

export const readWorkers = readUpTo(MOST_WORKERS);
export const readRanks = readUpTo(MOST_RANKS);
/** Each has an address of one network of 254, in which the coordinator has another. */
export const readShapedWorkers = readUpTo(253);

export function readCounts(text: string): number[] {
  if (!/^[1-9]\d{0,3}(,[1-9]\d{0,3})*$/.test(text)) {
    throw new InvalidArgumentError('Expected numbers of workers joined by commas, as in 1,2,4.');
  }
  return [...new Set(text.split(',').map(readWorkers))].sort((a, b) => a - b);
}

/** `0,1` → each of them once. */
export function readDevices(text: string): number[] {
  if (!/^\d{1,3}(,\d{1,3})*$/.test(text)) {
    throw new InvalidArgumentError('Expected numbers of devices joined by commas, as in 0,1.');
  }
  return [...new Set(text.split(',').map(Number))];
}

const PEERS = ['gloo', 'mpi'] as const;

/** `gloo,mpi`, or one after the other. */
export function readPeers(text: string, before: readonly Peer[] = []): Peer[] {
  const names = text.split(',');
  const known = PEERS.filter((peer) => names.includes(peer));
  if (names.some((name) => !known.includes(name as Peer))) {
    throw new InvalidArgumentError(`Expected some of ${PEERS.join(', ')}, joined by commas, as in gloo,mpi.`);
  }
  return PEERS.filter((peer) => before.includes(peer) || known.includes(peer));
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `30m`, `12h`, `7d` → milliseconds. */
export function readDuration(text: string): number {
  const match = /^([1-9]\d{0,5})([smhd])$/.exec(text);
  if (!match) throw new InvalidArgumentError('Expected a duration, as in 90s, 30m, 12h or 7d.');
  return Number(match[1]) * UNIT_MS[match[2]];
}

const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2 };

/** `4,64K,16M` → bytes, in whole float32 values. */
export function readSizes(text: string): number[] {
  return text.split(',').map((part) => {
    const match = /^(\d{1,6})([KM]?)$/.exec(part);
    const bytes = Number(match?.[1]) * UNIT_BYTES[match?.[2] ?? ''];
    if (!match || bytes < 4 || bytes % 4 !== 0 || bytes > 256 * UNIT_BYTES.M) {
      throw new InvalidArgumentError(
        'Expected sizes of 4 to 256M bytes, multiples of 4, joined by commas, as in 4,64K,16M.',
      );
    }
    return bytes;
  });
}

/** `int32,int16` → each of them once. */
export function readWires(text: string): WireFormat[] {
  const formats = [...new Set(text.split(','))];
  const known = WIRE_FORMATS.filter((format) => formats.includes(format));
  if (known.length < formats.length) {
    throw new InvalidArgumentError(`Expected some of ${WIRE_FORMATS.join(', ')}, joined by commas, as in int32,int16.`);
  }
  return known;
}

export const readCount = (text: string): number => (text === '0' ? 0 : readPositive(text));

export function readMinutes(text: string): number {
  const minutes = Number(text);
  if (!(minutes > 0 && minutes <= 10_000)) throw new InvalidArgumentError('Expected minutes, as in 30 or 0.5.');
  return minutes;
}

export function readKinds(text: string): FaultKind[] {
  return text.split(',').map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name);
    if (!kind) throw new InvalidArgumentError(`Expected kinds joined by commas, of ${FAULT_KINDS.join(', ')}.`);
    return kind;
  });
}

export function readListen(text: string): Endpoint {
  const address = parseListen(text);
  if (!LISTEN_PATTERN.test(text) || address.port > 65535) {
    throw new InvalidArgumentError('Expected HOST:PORT, as in 10.0.0.7:7071.');
  }
  return address;
}

/** `HOST` or `HOST:PORT`; an IPv6 host with a port stands in brackets. */
export function readAdvertised(text: string): { host: string; port?: number } {
  return LISTEN_PATTERN.test(text) ? readListen(text) : { host: text };
}

export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];
