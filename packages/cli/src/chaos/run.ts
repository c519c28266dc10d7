/** A chaos run from its first process to its report. */
import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoordError } from '@coord/protocol';
import { auditRun } from '../audit/audit.js';
import { AbsenceLog, calmSpans, meanCapacity } from './capacity.js';
import { Cluster, pause } from './cluster.js';
import { mountDisk, unmountDisk } from './disk.js';
import { Injector } from './inject.js';
import type { Isolation } from './isolate.js';
import { connectWorker, prepareNamespaces } from './network.js';
import { endAll, type SaidEvent } from './process.js';
import { StepProgress } from './progress.js';
import { referenceHash } from './reference.js';
import { type ChaosReport, kindReports } from './report.js';
import { growthOf, ResourceWatch } from './resources.js';
import type { Fault, Schedule } from './schedule.js';

export interface ChaosOptions {
  readonly config: string;
  readonly settings: readonly string[];
  readonly schedule: Schedule;
  readonly isolation: Isolation;
  readonly paceMs: number;
  /** How long the run lasts; undefined: as many steps as it has. */
  readonly durationMs: number | undefined;
  /** Look at what the processes hold. */
  readonly watch: boolean;
  /** Undisturbed time before and after the faults, whose throughput is compared with; 0 for none. */
  readonly quietMs: number;
  /** Where the run is copied to at the end; only after a failure where it is left out. */
  readonly keep: string | undefined;
  readonly say: (text: string) => void;
  /** Ends all of it before its time. */
  readonly signal: AbortSignal;
}

const SAMPLE_MS = 5000;
/** No step for so long, with every fault mended, is the end. */
const STALL_MS = 120_000;
const SETTLE_MS = 10_000;
const CALM_POLL_MS = 200;
/** Everybody is back: from then on training is as before. */
const SETTLED_MS = 500;
/** Steps that are reported after a fault are still under its effect. */
const AFTERMATH_MS = 2000;

/** @throws CoordError CHAOS_FAILED, INTERRUPTED after the signal; and what ended the run. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-chaos-'));
  const run = new ChaosRun(directory, options);
  try {
    const report = await unlessAborted(run.toReport(), options.signal);
    if (options.keep !== undefined || !report.ok) run.keep(options.keep);
    return report;
  } catch (error) {
    if (options.keep !== undefined || !options.signal.aborted) run.keep(options.keep);
    throw error;
  } finally {
    await run.close();
    await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // What becomes of it after the signal is of no interest.
  work.catch(() => {});
  const aborted = new Promise<never>((_, reject) => {
    const end = () => reject(new CoordError('INTERRUPTED', 'the chaos run was ended by its user'));
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
  });
  return Promise.race([work, aborted]);
}

class ChaosRun {
  private readonly startedMs = performance.now();
  private readonly progress = new StepProgress();
  private readonly watch: ResourceWatch;
  private readonly cluster: Cluster;
  private readonly disk: string;
  private readonly inside: string;
  private readonly absences = new AbsenceLog();
  /** When all faults were mended and everybody was back. */
  private calmMs = 0;
  private visitors = 0;

  constructor(
    private readonly directory: string,
    private readonly options: ChaosOptions,
  ) {
    this.disk = join(directory, 'disk');
    this.inside = join(directory, 'inside');
    this.watch = new ResourceWatch(this.inside, this.nowMs);
    this.cluster = new Cluster({
      config: options.config,
      settings: options.settings,
      seed: options.schedule.seed,
      workers: options.schedule.workers,
      paceMs: options.paceMs,
      directory: this.disk,
      insideDirectory: this.inside,
      nowMs: this.nowMs,
      onEvent: (event) => this.onEvent(event),
    });
  }

  private readonly nowMs = (): number => performance.now() - this.startedMs;

  async toReport(): Promise<ChaosReport> {
    const { options, cluster } = this;
    await this.prepare();
    const injector = this.createInjector();
    await cluster.startCoordinator();
    for (let number = 1; number <= options.schedule.workers; number++) cluster.startWorker(number);
    await this.orStall(this.progress.reached(1));
    const firstMs = this.nowMs();
    const sampling = options.watch ? setInterval(() => this.watch.sample(cluster.processes()), SAMPLE_MS) : undefined;
    const last = await this.orStall(this.train(injector, firstMs)).finally(() => clearInterval(sampling));
    const endMs = this.nowMs();
    return this.report(injector, last, firstMs, endMs);
  }

  keep(wanted: string | undefined): void {
    const to = wanted ?? `${this.directory}-kept`;
    cpSync(this.directory, to, { recursive: true, filter: (path) => !/\/cache-\d+/.test(path) });
    this.options.say(`run directory, logs and records are kept in ${to}`);
  }

  async close(): Promise<void> {
    await this.cluster.close();
    await endAll();
    // Where it was not mounted yet there is nothing to undo.
    if (this.options.isolation.mounts) await unmountDisk(this.disk).catch(() => {});
  }

  private async prepare(): Promise<void> {
    const { isolation, schedule } = this.options;
    for (const path of [this.disk, this.inside]) await mkdir(path);
    if (isolation.mounts) await mountDisk(this.disk);
    if (isolation.network) await prepareNamespaces();
    await mkdir(join(this.disk, 'logs'));
    for (let number = 1; number <= schedule.workers; number++) await this.connect(number);
  }

  private async connect(number: number): Promise<void> {
    const { network: namespaces } = this.options.isolation;
    const coordinator = () => this.cluster.endpoint;
    this.cluster.addNetwork(number, await connectWorker(number, { namespaces, coordinator }));
  }

  private createInjector(): Injector {
    const { schedule, say } = this.options;
    return new Injector({
      cluster: this.cluster,
      due: (fault) => this.due(fault),
      nowMs: this.nowMs,
      directory: this.disk,
      insideDirectory: this.inside,
      settleMs: SETTLE_MS,
      addWorker: async () => {
        const number = schedule.workers + ++this.visitors;
        await this.connect(number);
        return number;
      },
      onFault: (fault, atMs) => {
        say(`${(atMs / 1000).toFixed(1).padStart(7)} s  step ${this.progress.step}  ${describeFault(fault)}`);
        if (fault.kind === 'kill' || fault.kind === 'leave') this.absences.leave(`worker-${fault.worker}`, atMs);
      },
    });
  }

  /** Steps of the schedule are steps of the run; its times count from the first step and the quiet time after it. */
  private async due({ atStep, atMs }: Fault): Promise<boolean> {
    const over = this.cluster.finished.then(
      () => false,
      () => false,
    );
    const dueMs = () => this.firstMs + this.options.quietMs + (atMs ?? 0) - this.nowMs();
    const time = atStep === undefined ? pause(Math.max(0, dueMs())) : this.progress.reached(atStep);
    return Promise.race([time.then(() => true), over]);
  }

  private get firstMs(): number {
    return this.progress.times[0] ?? this.nowMs();
  }

  private async train(injector: Injector, firstMs: number): Promise<SaidEvent> {
    const { cluster, options } = this;
    const { durationMs, quietMs, schedule } = options;
    const injected = injector.run(schedule.faults);
    // A fault that cannot be carried out ends the run too: what is left of it would prove nothing.
    const over = Promise.race([cluster.finished, injected.then(() => cluster.finished)]);
    if (durationMs !== undefined) {
      await Promise.race([pause(firstMs + quietMs + durationMs - this.nowMs()), over]);
      await injected;
      while (!this.absences.isEverybodyThere && !cluster.isOver) await Promise.race([pause(CALM_POLL_MS), over]);
      this.calmMs = this.nowMs();
      await Promise.race([pause(quietMs), over]);
      cluster.stop();
    }
    const last = await over;
    await injected;
    return last;
  }

  private onEvent(event: SaidEvent): void {
    const atMs = this.nowMs();
    if (event.event === 'step') this.progress.note(event.step as number, atMs);
    if (event.event === 'worker-ready') this.absences.comeBack(String(event.name), atMs);
  }

  /** @throws CoordError CHAOS_FAILED when no step is completed for too long. */
  private async orStall<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const stalled = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        const silentMs = this.nowMs() - (this.progress.times.at(-1) ?? 0);
        if (silentMs > STALL_MS) reject(stalledError(this.progress.step, silentMs));
      }, 1000);
    });
    return Promise.race([work, stalled]).finally(() => clearInterval(timer));
  }

  private async report(injector: Injector, last: SaidEvent, firstMs: number, endMs: number): Promise<ChaosReport> {
    const { options, cluster, progress } = this;
    const step = last.steps as number;
    options.say(`the run ended after step ${step}; now the same run undisturbed, on one worker …`);
    const insideDirectory = this.inside;
    const reference = await referenceHash(step, {
      ...options,
      seed: options.schedule.seed,
      directory: this.directory,
      insideDirectory,
    });
    options.say('auditing …');
    const audit = await auditRun(cluster.runDir, undefined);
    const weightsSha256 = String(last.weightsSha256);
    const growth = options.watch ? growthOf(this.watch.series) : undefined;
    const equal = weightsSha256 === reference;
    const ok =
      equal && audit.findings.length === 0 && injector.missed.length === 0 && !growth?.some(({ grows }) => grows);
    return {
      ok,
      seed: options.schedule.seed,
      workers: options.schedule.workers,
      network: options.isolation.network ? 'namespaces' : 'proxy',
      steps: step,
      seconds: (endMs - firstMs) / 1000,
      weightsSha256,
      referenceSha256: reference,
      equal,
      audit,
      faults: injector.injected.length,
      kinds: kindReports(injector.injected, (fromMs, toMs) => progress.longestPauseMs(fromMs, toMs + AFTERMATH_MS)),
      missed: injector.missed,
      strangeEnds: cluster.strangeEnds,
      throughput: options.quietMs > 0 ? this.throughput(injector, firstMs) : undefined,
      growth,
      lives: options.watch ? this.watch.series.length : undefined,
    };
  }

  /**
   * Of the disturbed time between two quiet ones, of which the first fifth is left out. What is calm between the faults shows
   * whether the machine itself has changed meanwhile.
   */
  private throughput({ injected }: Injector, firstMs: number): ChaosReport['throughput'] {
    const { progress, options } = this;
    const { quietMs, durationMs = 0, schedule } = options;
    const fromMs = firstMs + quietMs;
    const toMs = fromMs + durationMs;
    const rate = (a: number, b: number) => (progress.countBetween(a, b) / (b - a)) * 1000;
    const before = rate(firstMs + quietMs / 5, fromMs);
    const after = rate(this.calmMs + quietMs / 5, this.calmMs + quietMs);
    const disturbed = rate(fromMs, toMs);
    const absences = this.absences.all(this.nowMs());
    const capacity = meanCapacity(absences, schedule.workers, fromMs, toMs);
    const faults = injected.map(({ startMs, endMs }) => ({ fromMs: startMs, toMs: endMs }));
    const calm = calmSpans([...faults, ...absences], fromMs, toMs, SETTLED_MS);
    const calmMs = calm.reduce((sum, span) => sum + span.toMs - span.fromMs, 0);
    const calmSteps = calm.reduce((sum, span) => sum + progress.countBetween(span.fromMs, span.toMs), 0);
    const undisturbed = (before + after) / 2;
    return {
      stepsPerSecondBefore: before,
      stepsPerSecondAfter: after,
      stepsPerSecondBetween: calmMs > 0 ? (calmSteps / calmMs) * 1000 : undefined,
      calmSeconds: calmMs / 1000,
      stepsPerSecondDisturbed: disturbed,
      capacity,
      kept: disturbed / undisturbed,
      keptOfCapacity: disturbed / undisturbed / capacity,
    };
  }
}

export function describeFault({ kind, atStep, atMs, ...details }: Fault): string {
  const texts = Object.entries(details).map(([name, value]) => `${name} ${value}`);
  return [kind, ...texts].join(', ');
}

const stalledError = (step: number, silentMs: number): CoordError =>
  new CoordError('CHAOS_FAILED', `no step was completed for ${Math.round(silentMs / 1000)} s after step ${step}`, {
    hint: 'The coordinator log and the flight records in the kept directory say who waits for whom.',
    facts: { step },
  });
