/** A real coordinator in a simulated process, on a disk in memory; it can be killed, and started again from what the disk holds. */
import type { CoordinatorEvent, LedgerEntry, LedgerRecord, RunResult } from '@coord/coordinator';
import { DEFAULT_TIMINGS } from '@coord/coordinator';
import { Chronicle, Conductor, createDoor, type Ledger, readPast, TokenBook } from '@coord/coordinator/testing';
import { headerOf, type RunSpec, type TrainingState } from '@coord/protocol';
import type { Link } from '@coord/transport';
import { pino } from 'pino';
import type { Process } from './world.js';

const STEP_DELAY_MS = 1000;

/** What survives a coordinator. */
export class Disk {
  readonly records: LedgerRecord[] = [];
  checkpoint: TrainingState;

  constructor(initial: TrainingState) {
    this.checkpoint = initial;
  }

  get entries(): LedgerEntry[] {
    return this.records.map(({ entry }) => entry);
  }
}

/** As the real one: steps wait up to a second, all else is written at once; what was not written dies with its process. */
class MemoryLedger implements Ledger {
  readonly path = 'memory';
  readonly tornBytes = 0;
  readonly past: readonly LedgerRecord[];
  recordedStep = 0;
  private unwritten: LedgerEntry[] = [];
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly disk: Disk,
    private readonly process: Process,
  ) {
    this.past = [...disk.records];
  }

  append(entry: LedgerEntry): void {
    this.unwritten.push(entry);
    if (entry.type !== 'step') this.write();
    else this.cancelTimer ??= this.process.clock.after(STEP_DELAY_MS, () => this.write());
  }

  async flush(): Promise<void> {
    this.write();
  }

  async close(): Promise<void> {
    this.write();
  }

  private write(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    // The code of a killed process runs on here until it waits for something; its system calls do not.
    if (this.process.isDead) return;
    for (const entry of this.unwritten.splice(0)) {
      if (entry.type === 'step') this.recordedStep = entry.step;
      this.disk.records.push({ seq: this.disk.records.length + 1, time: '2026-01-01T00:00:00.000Z', entry });
    }
  }
}

export interface SimulatedCoordinator {
  readonly process: Process;
  readonly finished: Promise<RunResult>;
  accept(link: Link): void;
  requestStop(): void;
  drain(worker: string): void;
  close(): Promise<void>;
}

export interface CoordinatorSetup {
  readonly run: RunSpec;
  readonly token: string;
  readonly disk: Disk;
  readonly minWorkers: number;
  readonly floorWorkers: number;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

export function startSimulatedCoordinator(process: Process, setup: CoordinatorSetup): SimulatedCoordinator {
  const { run, token, disk, minWorkers, floorWorkers, onEvent } = setup;
  const { clock } = process;
  const tokens = TokenBook.of(token);
  const ledger = new MemoryLedger(disk, process);
  const chronicle = new Chronicle(pino({ level: 'silent' }), ledger, (event) => process.isDead || onEvent(event));
  const state = disk.checkpoint;
  const initial = { header: headerOf(state), state };
  const conductor = new Conductor({
    run,
    tokens,
    runDir: 'memory',
    minWorkers,
    floorWorkers,
    initialState: state,
    initial,
    readBlock: () => undefined,
    clock,
    timings: DEFAULT_TIMINGS,
    retention: { keepLast: 1 },
    past: readPast('memory', ledger.past, run),
    ledger,
    chronicle,
    waitForWorkers: true,
    async save(saved) {
      if (!process.isDead) disk.checkpoint = saved;
      return `memory/step-${saved.step}`;
    },
  });
  chronicle.started(run, initial.header, { host: '192.0.2.1', port: 1 }, []);
  const { handshakeTimeoutMs } = DEFAULT_TIMINGS;
  const door = createDoor({ tokens, clock, handshakeTimeoutMs, conductor, chronicle });
  return {
    process,
    finished: conductor.finished,
    accept: (link) => void door(link),
    requestStop: () => conductor.requestStop('interrupted by its user'),
    drain(worker) {
      try {
        conductor.drain(worker);
      } catch {
        // It was the last one.
      }
    },
    close: () => conductor.close(),
  };
}
