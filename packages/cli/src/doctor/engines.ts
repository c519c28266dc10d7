/** Every engine, tried on this machine. */
import { availableParallelism } from 'node:os';
import { CONCRETE_ENGINES, type ConcreteEngine, ENGINE_GUIDES } from '@coord/engine';
import { type ProbeOutcome, probe } from './probe.js';
import type { EngineReport } from './report.js';

/** GPU libraries compile their shaders when they are first used. */
const START_TIMEOUT_MS = 120_000;
const BENCH_MS = 3000;

export interface EnginesReport {
  readonly engines: readonly EngineReport[];
  readonly auto: ConcreteEngine | null;
}

/** @param bench measures speed, one engine after the other so that none slows another down. */
export async function examineEngines(bench: boolean, onProgress: (text: string) => void): Promise<EnginesReport> {
  const benchMs = bench ? BENCH_MS : 0;
  const engines = await inTurns(CONCRETE_ENGINES, bench ? 1 : availableParallelism(), async (engine) => {
    onProgress(`trying ${engine} …`);
    return reportOf(engine, await probe({ engine, benchMs, timeoutMs: START_TIMEOUT_MS + 10 * benchMs }));
  });
  const auto = await probe({ engine: 'auto', benchMs: 0, timeoutMs: START_TIMEOUT_MS });
  return { engines, auto: auto.works ? (auto.identity.engine as ConcreteEngine) : null };
}

export function reportOf(engine: ConcreteEngine, outcome: ProbeOutcome): EngineReport {
  const { computesOn, howToGet } = ENGINE_GUIDES[engine];
  if (!outcome.works) return { engine, computesOn, works: false, reason: reasonOf(outcome), howToGet };
  return { engine, computesOn, ...outcome };
}

function reasonOf(outcome: Exclude<ProbeOutcome, { works: true }>): string {
  if ('crash' in outcome) return outcome.crash;
  const { facts, message } = outcome.error;
  return String(facts?.reason ?? message.split('\n')[0]);
}

/** Results in the order of `items`, at most `width` of them in work at once. */
async function inTurns<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const waiting = [...items.entries()];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  return results;
}
