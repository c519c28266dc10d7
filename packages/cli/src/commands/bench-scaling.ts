import { availableParallelism, cpus } from 'node:os';
import { dirname, resolve } from 'node:path';
import { EXIT_CODE } from '@coord/protocol';
import { interruptible } from '../bench/interruptible.js';
import { measureRun, trainingOnly } from '../bench/measure-run.js';
import { type ScalingCase, type ScalingResult, scalingCases, summarise } from '../bench/scaling.js';
import { PHASE_KEYS, type RunMeasurement } from '../bench/step-watch.js';
import { loadConfig } from '../config/load.js';
import { parseOverride } from '../config/override.js';
import type { RunConfig } from '../config/schema.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { ScalingOptions } from '../options.js';
import { formatPercent, formatRate, formatTable, plural } from '../view/format.js';

const WARMUP_STEPS = 10;

/** @throws CoordError of the configuration or of any of the runs. */
export const runBenchScaling = (configFile: string, options: ScalingOptions, io: CommandIo): Promise<number> =>
  interruptible(io, (signal) => measureScaling(configFile, options, io, signal));

async function measureScaling(
  configFile: string,
  options: ScalingOptions,
  io: CommandIo,
  signal: AbortSignal,
): Promise<number> {
  const config = await loadConfig(configFile, (options.set ?? []).map(parseOverride));
  const directory = dirname(resolve(configFile));
  const { steps } = options;
  const run = { directory, warmupSteps: WARMUP_STEPS, steps, signal };
  const cases = scalingCases(options.workers, config.batch.grains);
  const runs = cases.map((): RunMeasurement[] => []);
  // Rounds go over all cases, so that a machine that slows down spoils them alike.
  for (let round = 0; round < options.repeats; round++) {
    for (const [index, of] of cases.entries()) {
      const measured = await measureRun(caseConfig(config, of), run);
      runs[index].push(measured);
      reportRun(of, round, measured, options, io);
    }
  }
  const results = summarise(
    cases.map((of, index) => ({ of, runs: runs[index] })),
    config.batch.grainSize,
  );
  if (options.json) writeJson(io.stdout, { ...machine(), config: configFile, steps: options.steps, results });
  else writeLine(io.stdout, report(configFile, results, options));
  return EXIT_CODE.ok;
}

/** The configuration of one case: only training, nothing in between, on a port of its own. */
const caseConfig = (config: RunConfig, { workers, grains }: ScalingCase): RunConfig =>
  trainingOnly({ ...config, batch: { ...config.batch, grains } }, workers);

function reportRun(of: ScalingCase, round: number, run: RunMeasurement, options: ScalingOptions, io: CommandIo): void {
  const { samplesPerSecond } = run;
  if (options.json) {
    writeJson(io.stdout, { event: 'bench-run', ...of, repeat: round + 1, ...run });
    return;
  }
  const text = `${of.kind} ${plural(of.workers, 'worker')}: ${formatRate(samplesPerSecond)} samples/s`;
  writeLine(io.stderr, `round ${round + 1} of ${options.repeats}: ${text}`);
}

const machine = () => ({ cores: availableParallelism(), cpu: cpus()[0]?.model ?? 'unknown', node: process.version });

function report(configFile: string, results: readonly ScalingResult[], options: ScalingOptions): string {
  const { cores, cpu, node } = machine();
  const rows = results.map((result) => [
    result.kind,
    String(result.workers),
    String(result.globalBatch),
    formatRate(result.samplesPerSecond),
    `± ${formatPercent(result.spread)}`,
    formatPercent(result.efficiency),
    ...PHASE_KEYS.map((key) => result.times[key].toFixed(2)),
  ]);
  const phases = PHASE_KEYS.map((key) => `${key.replace(/Ms$/, '')} ms`);
  const crowded = results.some((result) => result.workers > cores);
  return [
    `${configFile}: ${options.steps} steps after ${WARMUP_STEPS} of warm-up, median of ${plural(options.repeats, 'run')}`,
    `${plural(cores, 'core')}, ${cpu}, Node ${node}`,
    ...(crowded ? [`more workers than cores: those rows measure sharing, not scaling`] : []),
    '',
    formatTable(['scaling', 'workers', 'batch', 'samples/s', 'spread', 'efficiency', ...phases], rows),
  ].join('\n');
}
