/** One run, from a prepared specification to its result: coordinator, local workers, metrics. `start` and the benches share it. */
import { join } from 'node:path';
import {
  type Coordinator,
  type CoordinatorEvent,
  type CoordinatorOptions,
  type RunResult,
  startCoordinator,
} from '@coord/coordinator';
import { CoordError, type TrainingState } from '@coord/protocol';
import type { Logger } from 'pino';
import { type CertificateFiles, loadCertificate } from './certificate-files.js';
import type { PreparedRun } from './config/run-spec.js';
import type { RunConfig } from './config/schema.js';
import { writeCoordinatorRecord } from './coordinator-file.js';
import { parseListen } from './listen.js';
import { type LocalWorkerExit, type LocalWorkers, launchLocalWorkers } from './local-workers.js';
import { openMetricsFile } from './metrics-file.js';
import { logsDirectory, metricsFile } from './run-directory.js';
import type { StartTokens } from './start-tokens.js';

export interface TrainOptions {
  readonly config: RunConfig;
  readonly prepared: PreparedRun;
  readonly initialState: TrainingState;
  readonly runDir: string;
  readonly tokens: StartTokens;
  readonly certificateFiles?: CertificateFiles | undefined;
  /** For `transport: nats`. */
  readonly natsCredentials?: string | undefined;
  readonly logger: Logger;
  readonly onEvent: (event: CoordinatorEvent) => void;
  /** Something about the start that its user should know. */
  readonly onNotice?: (text: string) => void;
  /** A local worker process ended before the run did. */
  readonly onLocalExit: (exit: LocalWorkerExit) => void;
  /** What the command line of a local worker's process begins with, by its number from 0. */
  readonly workerPrefix?: ((index: number) => readonly string[]) | undefined;
}

export interface Training {
  readonly coordinator: Coordinator;
  /** Rejects with the CoordError that ended the run. Local workers are gone by then. */
  readonly finished: Promise<RunResult>;
  /** Ends everything at once, as on the second Ctrl-C. */
  killNow(): void;
}

/** Time for local workers to say goodbye at the end of a run before they are killed. */
const GOODBYE_MS = 5000;

/** @throws CoordError PORT_IN_USE, LEDGER_CORRUPT … of startCoordinator. */
export async function startTraining(options: TrainOptions): Promise<Training> {
  const { config, prepared, runDir, tokens, certificateFiles } = options;
  const certificate = certificateFiles && (await loadCertificate(runDir, certificateFiles));
  const metrics = openMetricsFile(metricsFile(runDir), (error) =>
    options.logger.warn({ error: error.message }, 'metrics.jsonl cannot be written; training goes on'),
  );
  const cluster = createClusterWatch(options);
  const coordinator = await startCoordinator({
    run: prepared.spec,
    listen: parseListen(config.listen),
    nats: natsOf(options),
    tokens: tokens.book,
    certificate,
    runDir,
    minWorkers: config.minWorkers ?? Math.max(1, config.workers),
    floorWorkers: config.floorWorkers,
    maxWorkers: config.maxWorkers,
    initialState: options.initialState,
    readBlock: (sha256) => prepared.dataset.readBlock(sha256),
    logger: options.logger,
    retention: { keepLast: config.checkpoint.keepLast },
    config,
    // Who is still to come only this process knows: see ClusterWatch.
    waitForWorkers: true,
    onEvent(event) {
      metrics.record(event);
      cluster.see(event);
      options.onEvent(event);
    },
  });
  await rememberCoordinator(coordinator, options);
  announceReturns(coordinator, options);
  const workers = launchLocalWorkers({
    returned: coordinator.returned,
    count: config.workers,
    arrangement: config.local,
    url: coordinator.urls[0],
    token: coordinator.textOf(tokens.local),
    tokenIds: tokens.localIds,
    logsDirectory: logsDirectory(runDir),
    onExit: (exit) => cluster.localExit(exit, workers),
    prefixOf: options.workerPrefix,
  });
  const finished = finish(coordinator, workers, cluster.deserted).finally(() => metrics.close());
  return { coordinator, finished, killNow: () => workers.killNow() };
}

const natsOf = ({ config, natsCredentials: credentials }: TrainOptions): CoordinatorOptions['nats'] =>
  config.transport === 'nats' ? { url: config.nats!, credentials, notices: config.natsNotices } : undefined;

async function rememberCoordinator(
  coordinator: Coordinator,
  { config, runDir, certificateFiles: certificate }: TrainOptions,
): Promise<void> {
  try {
    await writeCoordinatorRecord(runDir, { listen: listenOf(config.listen, coordinator), certificate });
  } catch (error) {
    await coordinator.close();
    throw error;
  }
}

/** With the port that was really taken, so that workers find the next start too. */
const listenOf = (asked: string, { endpoint }: Coordinator): string => asked.replace(/:\d+$/, `:${endpoint.port}`);

function announceReturns({ awaited, returned }: Coordinator, { onNotice = () => {} }: TrainOptions): void {
  if (awaited.length === 0) return;
  const names = awaited.map(({ workerId, name }) => `${workerId} (${name})`).join(', ');
  onNotice(`the last start did not end in order: waiting some seconds for ${names} to come back …`);
  void returned.then((back) => onNotice(`${back.length} of ${awaited.length} came back`));
}

async function finish(coordinator: Coordinator, workers: LocalWorkers, deserted: Promise<never>): Promise<RunResult> {
  try {
    return await Promise.race([coordinator.finished, deserted, workers.launchFailed]);
  } finally {
    await coordinator.close();
    await workers.end(GOODBYE_MS);
  }
}

interface ClusterWatch {
  see(event: CoordinatorEvent): void;
  localExit(exit: LocalWorkerExit, workers: LocalWorkers): void;
  /**
   * Rejects when every local worker has died and nobody else is there. A run that was started without local workers waits
   * for others, whenever they come.
   */
  readonly deserted: Promise<never>;
}

function createClusterWatch({ runDir, onLocalExit }: TrainOptions): ClusterWatch {
  const present = new Set<string>();
  let over = false;
  let lastExit: LocalWorkerExit | undefined;
  let lastReason: string | undefined;
  let saved = false;
  let reject: (error: CoordError) => void = () => {};
  const deserted = new Promise<never>((_, fail) => {
    reject = fail;
  });
  const check = () => {
    if (!over && lastExit && present.size === 0)
      reject(desertedError(lastExit, lastReason, saved ? runDir : undefined));
  };
  return {
    deserted,
    see(event) {
      if (event.event === 'worker-joined') present.add(event.workerId);
      if (event.event === 'checkpoint') saved = true;
      if (event.event === 'finished') over = true;
      if (event.event !== 'worker-lost' || !present.delete(event.workerId)) return;
      lastReason = event.reason.split('\n', 1)[0];
      check();
    },
    localExit(exit, workers) {
      if (over || exit.code === 0) return;
      onLocalExit(exit);
      if (workers.running() > 0) return;
      lastExit = exit;
      check();
    },
  };
}

export const localExitText = (exit: LocalWorkerExit): string =>
  `local worker ${exit.name} (process ${exit.pid}) ${howItEnded(exit)}; its log is ${exit.logFile}`;

const howItEnded = ({ code, signal }: LocalWorkerExit): string =>
  signal === null ? `ended with exit status ${code ?? 'unknown'}` : `was killed by ${signal}`;

/** @param resumable the run directory where it holds a checkpoint */
function desertedError(last: LocalWorkerExit, reason: string | undefined, resumable: string | undefined): CoordError {
  const why = reason === undefined ? '' : `: ${reason}`;
  const resume =
    resumable === undefined ? '' : ` \`npx coord start --resume ${resumable}\` goes on from the newest checkpoint.`;
  return new CoordError('WORKERS_LOST', `every worker is gone; the last one, ${last.name}, ${howItEnded(last)}${why}`, {
    hint: `The end of ${last.logFile} says more.${resume}`,
    facts: { worker: last.name, logFile: last.logFile },
  });
}

export const coordinatorLogFile = (runDir: string): string => join(logsDirectory(runDir), 'coordinator.log');
