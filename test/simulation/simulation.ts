/**
 * The whole system in one process: real coordinator, real workers, real ring, in simulated processes on a simulated network and in
 * virtual time. A schedule plays the same way every time.
 */
import type { CoordinatorEvent, LedgerEntry, RunResult } from '@coord/coordinator';
import { createToken, philox, type RunSpec, runSpecSchema, type TrainingState } from '@coord/protocol';
import { type CoordinatorSetup, Disk, type SimulatedCoordinator, startSimulatedCoordinator } from './coordinator.js';
import { simulatedLayout } from './engine.js';
import { Network } from './network.js';
import type { Directory } from './peer-network.js';
import type { Fault, Schedule } from './schedule.js';
import { startSimulatedWorker, type WorkerWorld } from './worker.js';
import { Process, World } from './world.js';

/** Faults end within a quarter of an hour of any schedule; what is not over long after them will never be. */
const LIMIT_MS = 30 * 60_000;
/** Time for the last messages before the coordinator's process ends. */
const GOODBYE_MS = 5000;
/** Afterwards timers that are only there to give something up run out; the first call of a compute thread has the longest. */
const AFTERMATH_MS = 800_000;

export interface Outcome {
  readonly result: RunResult;
  readonly entries: readonly LedgerEntry[];
  readonly events: readonly CoordinatorEvent[];
  /** Of living workers: how each ended. */
  readonly endings: readonly PromiseSettledResult<unknown>[];
  readonly openConnections: number;
  /** A timer is left that makes another: something goes on for ever. */
  readonly isBusyAfterwards: boolean;
  readonly virtualMs: number;
}

interface Member {
  readonly process: Process;
  readonly finished: Promise<unknown>;
}

export function initialState(): TrainingState {
  const { totalSize, blockCount, parameters } = simulatedLayout;
  const weights = new Float32Array(totalSize);
  for (const { offset, size } of parameters) for (let i = 0; i < size; i++) weights[offset + i] = (i % 17) / 16 - 0.5;
  return { step: 0, layout: simulatedLayout, weights, slots: new Map(), exponents: new Uint8Array(blockCount) };
}

/** Uniform in [0, 1), the same sequence for the same seed. */
function randomFrom(seed: number): () => number {
  const words = new Uint32Array(4);
  let counter = 0;
  return () => {
    philox([seed, 0], [counter++, 0, 0, 0], words);
    return words[0] / 2 ** 32;
  };
}

const NO_HASH = '0'.repeat(64);

/** Steps of sixteen samples in six grains, the last of them smaller; a checkpoint now and then. */
export const runOf = ({ steps, overlap = 'off' }: { steps: number; overlap?: 'on' | 'off' }): RunSpec =>
  runSpecSchema.parse({
    runId: 'simulated',
    configSha256: NO_HASH,
    seed: 7,
    model: { name: 'simulated', topology: '{}' },
    loss: 'meanSquaredError',
    optimizer: { name: 'sgd' },
    schedule: { name: 'constant' },
    regularization: {},
    batch: { grains: 6, grainSize: 3 },
    epochs: 1000,
    maxSteps: steps,
    evaluation: { batchSize: 16, everyEpochs: 0 },
    checkpoint: { everySteps: 5, everyEpochs: 0 },
    engine: { name: 'auto', threads: 1 },
    nonFinite: 'error',
    // The kernel and the bias are a bucket each.
    ring: { overlap, bucketBytes: 1024 },
    data: {
      name: 'simulated',
      fields: [{ name: 'x', role: 'input', shape: [1], storage: 'uint8', dtype: 'float32' }],
      train: { samples: 50, samplesPerBlock: 50, blocks: [{ sha256: NO_HASH, samples: 50, bytes: 50 }] },
    },
  });

export class Simulation {
  private readonly world: World;
  private readonly network: Network;
  private readonly directory: Directory = new Map();
  private readonly disk = new Disk(initialState());
  private readonly token = createToken();
  private readonly events: CoordinatorEvent[] = [];
  private readonly workers: Member[] = [];
  private coordinator: SimulatedCoordinator;
  private coordinators = 0;
  private joined = 0;

  constructor(
    private readonly run: RunSpec,
    private readonly schedule: Schedule,
  ) {
    this.world = new World(randomFrom(schedule.seed));
    this.network = new Network(this.world);
    this.coordinator = this.startCoordinator();
  }

  /** Plays the schedule to the end of the run. @throws when the run does not end, or ends badly. */
  async play(): Promise<Outcome> {
    for (let count = 0; count < this.schedule.workers; count++) this.join();
    let dueMs = 0;
    for (const { afterMs, fault } of this.schedule.faults) {
      dueMs += afterMs;
      this.world.time.after(dueMs, () => this.inject(fault));
    }
    const result = await this.finish();
    const virtualMs = this.world.time.nowMs();
    this.exitCoordinator();
    const isBusyAfterwards = !(await this.drain());
    const living = this.workers.filter(({ process }) => !process.isDead && !process.isStuck);
    const stuck = new Error('it still waits for something when nothing more can happen');
    return {
      result,
      entries: this.disk.entries,
      events: this.events,
      endings: await Promise.allSettled(living.map(({ finished }) => Promise.race([finished, Promise.reject(stuck)]))),
      openConnections: this.network.open,
      isBusyAfterwards,
      virtualMs,
    };
  }

  private async finish(): Promise<RunResult> {
    let outcome: { result: RunResult } | { error: unknown } | undefined;
    let watched: SimulatedCoordinator | undefined;
    while (!outcome) {
      if (watched !== this.coordinator) {
        const { coordinator } = this;
        watched = coordinator;
        const isCurrent = () => coordinator === this.coordinator && !coordinator.process.isDead;
        coordinator.finished.then(
          (result) => {
            if (isCurrent()) outcome = { result };
          },
          (error) => {
            if (isCurrent()) outcome = { error };
          },
        );
      }
      const isMoving = await this.world.time.advance();
      if (!isMoving || this.world.time.nowMs() > LIMIT_MS) throw new Error(`no end in sight: ${this.describe()}`);
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.result;
  }

  /** As `coord start` does at the end of a run: goodbyes are said, then the process is gone. */
  private exitCoordinator(): void {
    const { process, close } = this.coordinator;
    void close();
    this.world.time.after(GOODBYE_MS, () => {
      process.die();
      this.network.drop(process);
    });
  }

  /** @returns false when timers still make timers. */
  private async drain(): Promise<boolean> {
    const endMs = this.world.time.nowMs() + AFTERMATH_MS;
    while (await this.world.time.advance()) if (this.world.time.nowMs() > endMs) return false;
    return true;
  }

  private startCoordinator(): SimulatedCoordinator {
    const process = new Process(`coordinator ${++this.coordinators}`, this.world);
    const setup: CoordinatorSetup = {
      run: this.run,
      token: this.token,
      disk: this.disk,
      minWorkers: Math.min(this.schedule.workers, 2),
      floorWorkers: this.schedule.needsAll ? this.schedule.workers : 1,
      onEvent: (event) => this.events.push(event),
    };
    return startSimulatedCoordinator(process, setup);
  }

  private join(): void {
    const process = new Process(`worker ${++this.joined}`, this.world);
    const world: WorkerWorld = {
      network: this.network,
      directory: this.directory,
      random: this.world.random,
      dialCoordinator: async (from, timeoutMs) => {
        const { coordinator } = this;
        const [near, far] = await this.network.link(from, coordinator.process, timeoutMs);
        coordinator.accept(far);
        return near;
      },
    };
    // One thread or two, in turns, whoever is first: it is alone until others come.
    const threads = 1 + (((this.schedule.seed >> 1) + this.joined) % 2);
    const begin = async () => (await this.startPatiently(process, world, threads)).finished;
    const finished = begin();
    finished.catch(() => {}); // looked at in the end
    this.workers.push({ process, finished });
  }

  /** Somebody starts the command again when there was no coordinator yet. */
  private async startPatiently(
    process: Process,
    world: WorkerWorld,
    threads: number,
  ): Promise<{ finished: Promise<unknown> }> {
    for (;;) {
      try {
        return await startSimulatedWorker(process, this.token, world, threads);
      } catch (error) {
        if (this.isOver) throw error;
        await new Promise<void>((resolve) => process.clock.after(500, resolve));
      }
    }
  }

  private get isOver(): boolean {
    return this.events.some(({ event }) => event === 'finished');
  }

  private inject(fault: Fault): void {
    if (this.isOver) return;
    const alive = this.workers.filter(({ process }) => !process.isDead);
    const member = 'worker' in fault ? alive[fault.worker % Math.max(1, alive.length)] : undefined;
    switch (fault.kind) {
      case 'kill':
        if (member) this.killWorker(member, fault.backAfterMs);
        return;
      case 'hang':
        member?.process.hang(fault.forMs);
        return;
      case 'slow':
        member?.process.slow(fault.byMs, fault.forMs);
        return;
      case 'stick':
        if (member) member.process.isStuck = true;
        this.join();
        return;
      case 'join':
        this.join();
        return;
      case 'drain':
        if (member) this.coordinator.drain(member.process.name);
        this.join();
        return;
      case 'partition':
        if (member) this.partition(member.process, fault.from, fault.forMs);
        return;
      case 'cut':
        if (member) this.cut(member.process, fault.from, fault.forMs);
        return;
      case 'lose-connection':
        this.network.cutOne(fault.pick);
        return;
      case 'hang-coordinator':
        this.coordinator.process.hang(fault.forMs);
        return;
      case 'kill-coordinator':
        this.killCoordinator(fault.backAfterMs);
        return;
    }
    fault satisfies never;
  }

  private killWorker({ process }: Member, backAfterMs: number): void {
    process.die();
    this.network.drop(process);
    this.world.time.after(backAfterMs, () => this.isOver || this.join());
  }

  private killCoordinator(backAfterMs: number): void {
    const { process } = this.coordinator;
    if (process.isDead) return;
    process.die();
    this.network.drop(process);
    this.world.time.after(backAfterMs, () => {
      this.coordinator = this.startCoordinator();
    });
  }

  private cut(process: Process, from: 'peer' | 'peers', forMs: number): void {
    const others = this.othersThan(process);
    for (const other of from === 'peer' ? others.slice(0, 1) : others) this.network.refuse(process, other, forMs);
  }

  private othersThan(process: Process): Process[] {
    return this.workers.map((other) => other.process).filter((other) => other !== process && !other.isDead);
  }

  private partition(process: Process, from: 'coordinator' | 'peer' | 'all', forMs: number): void {
    const others = this.othersThan(process);
    const cut = (other: Process) => this.world.cut(process, other, forMs);
    if (from !== 'peer') cut(this.coordinator.process);
    if (from === 'all') others.forEach(cut);
    else if (from === 'peer' && others[0]) cut(others[0]);
  }

  private describe(): string {
    const last = this.disk.entries.at(-1);
    const states = this.workers.map(
      ({ process: { name, isDead, isRunning } }) => `${name} ${isDead ? 'dead' : isRunning ? 'running' : 'hung'}`,
    );
    return `${states.join(', ')}; last in the ledger: ${JSON.stringify(last)}; ${this.network.open} connections are open`;
  }
}
