import { hostname } from 'node:os';
import { EXIT_CODE } from '@coord/protocol';
import { startWorker, type WorkerEvent, type WorkerHandle } from '@coord/worker';
import { defaultCacheDirectory } from '../cache-directory.js';
import { runDeviceWorkers } from '../device-workers.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import { createLogger } from '../log.js';
import type { WorkerOptions } from '../options.js';
import { natsCredentials, requireToken } from '../token.js';

/** @throws CoordError of the worker: UNREACHABLE, TOKEN_WRONG, PROTOCOL_VERSION, COORDINATOR_LOST … */
export async function runWorker(url: string, options: WorkerOptions, io: CommandIo): Promise<number> {
  const { devices } = options;
  if (devices) return runDeviceWorkers(url, { ...options, devices }, io);
  const worker = await startWorker({
    url,
    token: requireToken(options.token, io.env),
    natsCredentials: natsCredentials(io.env),
    name: options.name ?? `${hostname()}-${process.pid}`,
    listen: options.listen,
    advertise: options.advertise,
    localSocket: options.localSocket,
    computeThreads: options.workers,
    engine: options.engine,
    cacheDirectory: options.cacheDir ?? defaultCacheDirectory(io.env),
    logDirectory: options.logDir,
    joinPatienceMs: options.wait * 1000,
    coordinatorPatienceMs: options.patience === undefined ? undefined : options.patience * 1000,
    onEvent: (event) => tellEvent(event, options, io),
    logger: createLogger({ name: 'worker', stderr: options.verbose }),
  });
  if (options.json) writeJson(io.stdout, { event: 'joined', workerId: worker.workerId });
  else writeLine(io.stdout, `joined as ${worker.workerId}; Ctrl-C leaves, and the others go on`);
  const interrupts = leaveOnInterrupt(worker, options, io);
  try {
    const result = await worker.finished;
    if (options.json) writeJson(io.stdout, { event: 'worker-finished', ...result });
    else writeLine(io.stdout, `done after step ${result.step}; weights SHA-256 ${result.weightsSha256}`);
    return interrupts.count > 0 ? EXIT_CODE.interrupted : EXIT_CODE.ok;
  } catch (error) {
    if (interrupts.count > 0) return EXIT_CODE.interrupted;
    throw error;
  } finally {
    interrupts.release();
  }
}

function tellEvent(event: WorkerEvent, { json }: WorkerOptions, io: CommandIo): void {
  if (json) writeJson(io.stdout, event);
  else if (event.event === 'returned') writeLine(io.stdout, `back with the coordinator as ${event.workerId}`);
  else if (event.event === 'coordinator-awaited') {
    const seconds = Math.round(event.patienceMs / 1000);
    writeLine(io.stdout, `${event.message}; trying again for ${seconds} s (--wait)`);
  } else {
    const seconds = Math.round(event.patienceMs / 1000);
    writeLine(
      io.stdout,
      `the coordinator is gone; training goes on, and this worker waits ${seconds} s for it to come back`,
    );
  }
}

/** Ctrl-C once: say goodbye. Twice: end at once. */
function leaveOnInterrupt(
  worker: WorkerHandle,
  options: WorkerOptions,
  io: CommandIo,
): { readonly count: number; release(): void } {
  let count = 0;
  const release = io.onInterrupt(() => {
    count++;
    if (count > 1) return io.exit(EXIT_CODE.interrupted);
    if (!options.json) writeLine(io.stdout, 'leaving … (once more to end at once)');
    void worker.leave('interrupted by its user');
  });
  return {
    get count() {
      return count;
    },
    release,
  };
}
