/** Trains for some steps with real local workers, and measures the steps after a warm-up. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stepsPerEpoch } from '@coord/protocol';
import { toRunSpec } from '../config/run-spec.js';
import type { RunConfig } from '../config/schema.js';
import { createInitialState, planOf } from '../initial-state.js';
import { createLogger } from '../log.js';
import { createRunDirectory } from '../run-directory.js';
import { prepareTokens } from '../start-tokens.js';
import { coordinatorLogFile, startTraining, type Training, type TrainOptions } from '../train.js';
import { createStepWatch, type RunMeasurement } from './step-watch.js';

export interface MeasureOptions {
  /** Directory that relative paths in the configuration start from. */
  readonly directory: string;
  readonly warmupSteps: number;
  /** Measured steps. */
  readonly steps: number;
  readonly workerPrefix?: TrainOptions['workerPrefix'];
  /** Ends it at once; the run's directory and workers are gone then, and the promise rejects. */
  readonly signal?: AbortSignal;
  /** Called with the run's directory before it is removed. */
  readonly onDone?: (runDir: string) => Promise<void>;
}

/** Only training, nothing in between, with so many local workers. */
export const trainingOnly = (config: RunConfig, workers: number): RunConfig => ({
  ...config,
  workers,
  minWorkers: workers,
  listen: '127.0.0.1:0',
  evaluation: { ...config.evaluation, everyEpochs: 0 },
  checkpoint: { ...config.checkpoint, everySteps: 0, everyEpochs: 0 },
});

export async function measureRun(config: RunConfig, options: MeasureOptions): Promise<RunMeasurement> {
  const { directory, warmupSteps, steps, workerPrefix, signal, onDone } = options;
  const runDir = await mkdtemp(join(tmpdir(), 'coord-bench-'));
  try {
    const prepared = await toRunSpec(config, { runId: 'bench', directory });
    const maxSteps = warmupSteps + steps;
    const epochs = Math.ceil(maxSteps / stepsPerEpoch(planOf(prepared.spec)));
    const spec = { ...prepared.spec, maxSteps, epochs };
    const { configSha256, runId } = spec;
    await createRunDirectory(runDir, { runId, configSha256, createdAt: new Date().toISOString(), directory, config });
    const watch = createStepWatch(warmupSteps, () => performance.now());
    const training = await startTraining({
      config,
      prepared: { ...prepared, spec },
      initialState: createInitialState({ ...prepared, spec }),
      runDir,
      tokens: await prepareTokens(runDir),
      logger: createLogger({ name: 'coordinator', file: coordinatorLogFile(runDir), stderr: false }),
      onEvent: (event) => watch.see(event),
      onLocalExit: () => {},
      workerPrefix,
    });
    signal?.addEventListener('abort', () => void endNow(training), { once: true });
    if (signal?.aborted) await endNow(training);
    await training.finished;
    await onDone?.(runDir);
    return watch.result();
  } finally {
    await rm(runDir, { recursive: true, force: true });
  }
}

function endNow({ coordinator, killNow }: Training): Promise<void> {
  killNow();
  return coordinator.close();
}
