/**
 * Fuzzing: a parser gets inputs that are almost right. It may accept them or throw a CoordError; anything else, standing still, or
 * memory that grows is a failure, which names the input's number, so that it can be made again.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CoordError } from '@coord/protocol';
import { Chance } from './mutate.js';

export interface FuzzTarget {
  readonly name: string;
  /** Makes one input and hands it over. What is taken although it is wrong is an error too, where that can be told. */
  run(chance: Chance): void | Promise<void>;
  /** Right inputs are taken, and for what they are: a parser that refuses everything passes no test. */
  control(): void | Promise<void>;
}

/** No parser takes so long for an input of this size, on however slow a machine. */
const HANG_MS = 10_000;
/** The process may have this much more in use at any time, whatever the inputs announce. */
const GROWTH_BYTES = 512 * 1024 * 1024;
/** What is still held by JavaScript when the last input is done and garbage has been collected. */
const HELD_BYTES = 64 * 1024 * 1024;
const LOOK_EVERY = 5000;

export interface FuzzReport {
  readonly name: string;
  readonly inputs: number;
  /** Inputs that were taken for good. */
  readonly accepted: number;
  readonly slowestMs: number;
  /** Largest resident memory that was seen, beyond that before the first input. */
  readonly grownMiB: number;
  /** JavaScript heap and buffers after the last input, beyond those before the first. */
  readonly heldMiB: number;
}

/** @throws Error naming target, seed and number of the input. */
export async function fuzz(target: FuzzTarget, inputs: number, seed: number): Promise<FuzzReport> {
  await target.control();
  const memory = new MemoryWatch();
  let accepted = 0;
  let slowestMs = 0;
  for (let input = 0; input < inputs; input++) {
    const startMs = performance.now();
    if (await isAccepted(target, input, seed)) accepted++;
    const tookMs = performance.now() - startMs;
    slowestMs = Math.max(slowestMs, tookMs);
    if (tookMs > HANG_MS) throw failure(target, input, seed, `took ${tookMs.toFixed(0)} ms`);
    if (input % LOOK_EVERY !== LOOK_EVERY - 1) continue;
    if (memory.grownBytes() > GROWTH_BYTES)
      throw failure(target, input, seed, `memory has grown by ${mebibytes(memory.peakBytes)} MiB`);
    // Parsers that never wait must not keep timers and signals from being served.
    await new Promise(setImmediate);
  }
  const heldBytes = memory.heldBytes();
  if (heldBytes > HELD_BYTES) throw failure(target, inputs, seed, `${mebibytes(heldBytes)} MiB are held at the end`);
  const [grownMiB, heldMiB] = [mebibytes(memory.peakBytes), mebibytes(heldBytes)];
  return { name: target.name, inputs, accepted, slowestMs: Math.round(slowestMs), grownMiB, heldMiB };
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

/** What the process holds beyond what it held at first. */
class MemoryWatch {
  peakBytes = 0;
  private readonly residentBefore = process.memoryUsage().rss;
  private readonly heldBefore = held();

  grownBytes(): number {
    const grown = process.memoryUsage().rss - this.residentBefore;
    this.peakBytes = Math.max(this.peakBytes, grown);
    return grown;
  }

  heldBytes(): number {
    this.grownBytes();
    return held() - this.heldBefore;
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function held(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function isAccepted(target: FuzzTarget, input: number, seed: number): Promise<boolean> {
  try {
    await target.run(new Chance(seed, input));
    return true;
  } catch (error) {
    if (error instanceof CoordError) return false;
    throw failure(target, input, seed, `threw ${error instanceof Error ? error.stack : String(error)}`, error);
  }
}

const failure = ({ name }: FuzzTarget, input: number, seed: number, what: string, cause?: unknown): Error =>
  new Error(`${name}: input ${input} of seed ${seed} ${what}`, { cause });
