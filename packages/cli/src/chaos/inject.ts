/** Carries a schedule of faults out on a cluster, one after the other on each target, side by side on different ones. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '@coord/disk';
import { CoordError } from '@coord/protocol';
import { type Cluster, pause } from './cluster.js';
import { fillDisk, freeDisk } from './disk.js';
import { clockFile } from './inside-files.js';
import type { CoordProcess } from './process.js';
import type { Fault } from './schedule.js';

export interface InjectorOptions {
  readonly cluster: Cluster;
  /** Resolves when the fault is due; false when the run ends before. */
  readonly due: (fault: Fault) => Promise<boolean>;
  readonly nowMs: () => number;
  readonly directory: string;
  readonly insideDirectory: string;
  /** Gives an additional worker its place in the network; returns its number. */
  readonly addWorker: () => Promise<number>;
  readonly onFault: (fault: Fault, atMs: number) => void;
  /** How long a process may take to be there again before the next fault hits it. */
  readonly settleMs: number;
}

/** A fault as it happened; times in milliseconds since the start. */
export interface Injected {
  readonly fault: Fault;
  readonly startMs: number;
  readonly endMs: number;
}

export class Injector {
  readonly injected: Injected[] = [];
  /** Faults that the run did not live to see. */
  readonly missed: Fault[] = [];
  readonly #targets = new Map<string, Promise<void>>();
  readonly #failed: Promise<never>;
  #fail!: (error: unknown) => void;

  constructor(private readonly options: InjectorOptions) {
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Only `run` tells of it.
    this.#failed.catch(() => {});
  }

  /** Resolves when all is over and mended; rejects at once with what the first fault that cannot be carried out fails with. */
  run(faults: readonly Fault[]): Promise<void> {
    return Promise.race([this.#runAll(faults), this.#failed]);
  }

  async #runAll(faults: readonly Fault[]): Promise<void> {
    for (const fault of faults) {
      if (await this.options.due(fault)) this.#queue(fault);
      else this.missed.push(fault);
    }
    await Promise.all(this.#targets.values());
  }

  #queue(fault: Fault): void {
    const target = targetOf(fault);
    const done = (this.#targets.get(target) ?? Promise.resolve()).then(() => this.#inject(fault));
    done.catch((error: unknown) => this.#fail(faultFailed(fault, error)));
    this.#targets.set(target, done);
  }

  async #inject(fault: Fault): Promise<void> {
    const { nowMs, onFault } = this.options;
    const startMs = nowMs();
    onFault(fault, startMs);
    await this.#carryOut(fault);
    this.injected.push({ fault, startMs, endMs: nowMs() });
  }

  async #carryOut(fault: Fault): Promise<void> {
    const { cluster, directory } = this.options;
    switch (fault.kind) {
      case 'kill':
        return this.#endAndRestart(fault.worker, fault.forMs, 'SIGKILL');
      case 'leave':
        return this.#endAndRestart(fault.worker, fault.forMs, 'SIGTERM');
      case 'stop':
        cluster.worker(fault.worker)?.signal('SIGSTOP');
        await pause(fault.forMs);
        cluster.worker(fault.worker)?.signal('SIGCONT');
        return;
      case 'join':
        return this.#visit(fault.forMs);
      case 'partition':
        await cluster.network(fault.worker).partition(true);
        await pause(fault.forMs);
        return cluster.network(fault.worker).partition(false);
      case 'cut':
        cluster.network(fault.worker).cut(true);
        await pause(fault.forMs);
        return cluster.network(fault.worker).cut(false);
      case 'slow-link':
        cluster.network(fault.worker).slow(fault);
        await pause(fault.forMs);
        return cluster.network(fault.worker).slow(undefined);
      case 'corrupt':
        return cluster.network(fault.worker).damage(fault.link);
      case 'disk-full':
        await fillDisk(directory);
        await pause(fault.forMs);
        return freeDisk(directory);
      case 'clock-jump':
        return this.#jump(fault.worker === undefined ? cluster.coordinator : cluster.worker(fault.worker), fault.byMs);
      case 'coordinator-kill':
        await cluster.coordinator?.end('SIGKILL');
        await pause(fault.forMs);
        return cluster.resumeCoordinator();
    }
    fault satisfies never;
  }

  async #endAndRestart(number: number, forMs: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { cluster } = this.options;
    const worker = cluster.worker(number);
    if (worker) worker.isEndOrdered = true;
    if (signal === 'SIGTERM') await this.#leave(worker);
    else await worker?.end(signal);
    await pause(forMs);
    cluster.startWorker(number);
  }

  /** Who cannot say goodbye, for want of a coordinator, is not waited for for ever. */
  async #leave(worker: CoordProcess | undefined): Promise<void> {
    if (!worker?.isRunning) return;
    worker.signal('SIGTERM');
    await Promise.race([worker.ended, pause(this.options.settleMs)]);
    if (worker.isRunning) await worker.end('SIGKILL');
  }

  async #visit(forMs: number): Promise<void> {
    const { cluster, addWorker } = this.options;
    const number = await addWorker();
    cluster.startWorker(number);
    await pause(forMs);
    const worker = cluster.worker(number);
    if (worker) worker.isEndOrdered = true;
    await this.#leave(worker);
  }

  async #jump(process: CoordProcess | undefined, byMs: number): Promise<void> {
    if (!process?.isRunning) return;
    writeFileSync(join(this.options.insideDirectory, clockFile(process.pid)), String(byMs));
    process.signal('SIGUSR2');
  }
}

const faultFailed = ({ kind, atStep, atMs }: Fault, cause: unknown): CoordError =>
  new CoordError(
    'CHAOS_FAILED',
    `the fault ${kind} at ${atStep === undefined ? `${atMs} ms` : `step ${atStep}`} could not be carried out: ${errorText(cause)}`,
    { cause, hint: 'This says nothing about the run itself. The kept directory holds its logs.' },
  );

/** What is faulty only one way at a time. Network and process of a worker may have trouble of their own. */
function targetOf(fault: Fault): string {
  if (fault.kind === 'disk-full') return 'disk';
  if (fault.kind === 'join') return 'visitor';
  if (fault.kind === 'coordinator-kill') return 'coordinator';
  if (fault.kind === 'clock-jump') return 'clocks';
  const network = ['partition', 'cut', 'slow-link', 'corrupt'].includes(fault.kind);
  return `${network ? 'network of' : 'process of'} ${fault.worker}`;
}
