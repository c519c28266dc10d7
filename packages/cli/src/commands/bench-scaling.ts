import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EXIT_CODE, stepsPerEpoch } from '@coord/protocol';
import { type ScalingCase, type ScalingResult, scalingCases, summarise } from '../bench/scaling.js';
import { createStepWatch, PHASE_KEYS, type RunMeasurement } from '../bench/step-watch.js';
import { loadConfig } from '../config/load.js';
import { parseOverride } from '../config/override.js';
import { toRunSpec } from '../config/run-spec.js';
import type { RunConfig } from '../config/schema.js';
import { createInitialState, planOf } from '../initial-state.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import { createLogger } from '../log.js';
import type { ScalingOptions } from '../options.js';
import { createRunDirectory } from '../run-directory.js';
import { prepareTokens } from '../start-tokens.js';
import { coordinatorLogFile, startTraining } from '../train.js';
import { formatPercent, formatRate, formatTable, plural } from '../view/format.js';

const WARMUP_STEPS = 10;

/** @throws CoordError of the configuration or of any of the runs. */
export async function runBenchScaling(configFile: string, options: ScalingOptions, io: CommandIo): Promise<number> {
  const config = await loadConfig(configFile, (options.set ?? []).map(parseOverride));
  const directory = dirname(resolve(configFile));
  const cases = scalingCases(options.workers, config.batch.grains);
  const runs = cases.map((): RunMeasurement[] => []);
  // Rounds go over all cases, so that a machine that slows down spoils them alike.
  for (let round = 0; round < options.repeats; round++) {
    for (const [index, of] of cases.entries()) {
      const measured = await measure(caseConfig(config, of), directory, options.steps);
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
function caseConfig(config: RunConfig, of: ScalingCase): RunConfig {
  return {
    ...config,
    batch: { ...config.batch, grains: of.grains },
    workers: of.workers,
    minWorkers: of.workers,
    listen: '127.0.0.1:0',
    evaluation: { ...config.evaluation, everyEpochs: 0 },
    checkpoint: { ...config.checkpoint, everySteps: 0, everyEpochs: 0 },
  };
}

async function measure(config: RunConfig, directory: string, steps: number): Promise<RunMeasurement> {
  const runDir = await mkdtemp(join(tmpdir(), 'coord-bench-'));
  try {
    const prepared = await toRunSpec(config, { runId: 'bench', directory });
    const maxSteps = WARMUP_STEPS + steps;
    const epochs = Math.ceil(maxSteps / stepsPerEpoch(planOf(prepared.spec)));
    const spec = { ...prepared.spec, maxSteps, epochs };
    const { configSha256, runId } = spec;
    await createRunDirectory(runDir, { runId, configSha256, createdAt: new Date().toISOString(), directory, config });
    const watch = createStepWatch(WARMUP_STEPS, () => performance.now());
    const training = await startTraining({
      config,
      prepared: { ...prepared, spec },
      initialState: createInitialState({ ...prepared, spec }),
      runDir,
      tokens: await prepareTokens(runDir),
      logger: createLogger({ name: 'coordinator', file: coordinatorLogFile(runDir), stderr: false }),
      onEvent: (event) => watch.see(event),
      onLocalExit: () => {},
    });
    await training.finished;
    return watch.result();
  } finally {
    await rm(runDir, { recursive: true, force: true });
  }
}

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
