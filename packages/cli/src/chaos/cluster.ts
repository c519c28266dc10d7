/** The real cluster of a chaos run: one `coord start`, workers as processes of their own, all of them looked after. */
import { join } from 'node:path';
import { CoordError, type Endpoint } from '@coord/protocol';
import { TOKEN_VARIABLE } from '../token.js';
import type { WorkerNetwork } from './network.js';
import { CoordProcess, type ProcessEnd, type SaidEvent } from './process.js';

const RESTART_MS = 500;
/** A coordinator that cannot start again is tried so often: its disk may be full. */
const RESUME_ATTEMPTS = 30;
const TOKEN = 'chaos-token-of-this-machine';

export interface ClusterOptions {
  readonly config: string;
  readonly settings: readonly string[];
  readonly seed: number;
  readonly workers: number;
  /** Milliseconds that every grain takes longer. */
  readonly paceMs: number;
  /** For run directory, caches and logs; may become full. */
  readonly directory: string;
  /** For what must always find room. */
  readonly insideDirectory: string;
  readonly nowMs: () => number;
  readonly onEvent: (event: SaidEvent) => void;
}

/** A process that ended though nobody had asked for it. */
export interface StrangeEnd extends ProcessEnd {
  readonly who: string;
  readonly atMs: number;
  readonly error: string | undefined;
}

export class Cluster {
  readonly runDir: string;
  /** Ends that nobody asked for. */
  readonly strangeEnds: StrangeEnd[] = [];
  /** Resolves with the coordinator's last event when the run is over. */
  readonly finished: Promise<SaidEvent>;
  #endpoint: Endpoint = { host: '127.0.0.1', port: 1 };
  #coordinator: CoordProcess | undefined;
  readonly #workers = new Map<number, CoordProcess>();
  readonly #networks = new Map<number, WorkerNetwork>();
  #resuming: Promise<void> | undefined;
  #over = false;
  #settle!: { resolve(event: SaidEvent): void; reject(error: Error): void };

  constructor(private readonly options: ClusterOptions) {
    this.runDir = join(options.directory, 'run');
    this.finished = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.finished.catch(() => {});
  }

  /** The run has come to its end. */
  get isOver(): boolean {
    return this.#over;
  }

  get endpoint(): Endpoint {
    return this.#endpoint;
  }

  get coordinator(): CoordProcess | undefined {
    return this.#coordinator;
  }

  worker(number: number): CoordProcess | undefined {
    return this.#workers.get(number);
  }

  network(number: number): WorkerNetwork {
    const network = this.#networks.get(number);
    if (!network) throw new RangeError(`worker ${number} has no network`);
    return network;
  }

  /** Every live process, by what people call it. */
  processes(): [string, CoordProcess][] {
    const workers = [...this.#workers].map(([number, process]): [string, CoordProcess] => [
      `worker ${number}`,
      process,
    ]);
    const all: [string, CoordProcess][] = this.#coordinator
      ? [['coordinator', this.#coordinator], ...workers]
      : workers;
    return all.filter(([, process]) => process.isRunning);
  }

  async startCoordinator(): Promise<void> {
    const { config, settings, seed, workers } = this.options;
    const fixed = [
      '--workers',
      '0',
      '--min-workers',
      String(workers),
      '--listen',
      '127.0.0.1:0',
      '--seed',
      String(seed),
    ];
    const sets = settings.flatMap((setting) => ['--set', setting]);
    await this.#launchCoordinator(['start', config, '--run-dir', this.runDir, ...fixed, ...sets]);
  }

  /** After its end; tried again while it cannot start. Whoever asks meanwhile waits for the same start. */
  resumeCoordinator(): Promise<void> {
    this.#resuming ??= this.#resumeCoordinator().finally(() => {
      this.#resuming = undefined;
    });
    return this.#resuming;
  }

  async #resumeCoordinator(): Promise<void> {
    for (let attempt = 1; !this.#over; attempt++) {
      try {
        return await this.#launchCoordinator(['start', '--resume', this.runDir]);
      } catch (error) {
        if (attempt === RESUME_ATTEMPTS) throw error;
        await pause(RESTART_MS);
      }
    }
  }

  addNetwork(number: number, network: WorkerNetwork): void {
    this.#networks.set(number, network);
  }

  startWorker(number: number): void {
    if (this.#over) return;
    const { directory, paceMs } = this.options;
    const { prefix, coordinator, listen, advertise } = this.network(number);
    const worker = this.#launch(`worker-${number}`, {
      prefix,
      args: [
        ...['worker', `ws://${text(coordinator)}`, '--name', `worker-${number}`],
        ...['--listen', text(listen), '--advertise', text(advertise)],
        ...['--cache-dir', join(directory, `cache-${number}`), '--log-dir', join(directory, 'logs'), '--verbose'],
      ],
      env: paceMs > 0 ? { COORD_FAULT: `slow-grains=${paceMs}` } : {},
    });
    this.#workers.set(number, worker);
    this.#lookAfter(number, worker).catch(this.#settle.reject);
  }

  /** Asks for an orderly end, or ends all at once. */
  stop(): void {
    this.#coordinator?.signal('SIGINT');
  }

  async close(): Promise<void> {
    this.#over = true;
    await Promise.all(this.processes().map(([, process]) => process.end('SIGKILL')));
    await Promise.all([...this.#networks.values()].map((network) => network.close()));
  }

  /** @throws when the process ends before it listens. */
  async #launchCoordinator(args: readonly string[]): Promise<void> {
    let last: SaidEvent | undefined;
    let listens = false;
    await new Promise<void>((resolve, reject) => {
      const coordinator = this.#launch('coordinator', { args: [...args, '--verbose'], env: {} }, (event) => {
        last = event;
        if (event.event === 'listening') {
          this.#endpoint = event.endpoint as Endpoint;
          listens = true;
          resolve();
        }
        this.options.onEvent(event);
      });
      this.#coordinator = coordinator;
      void coordinator.ended.then((ended) => {
        if (last?.event === 'finished') return this.#finish(last);
        if (!coordinator.isEndOrdered) this.#noteEnd('coordinator', coordinator, ended);
        const why = coordinatorEnded(coordinator, ended);
        if (!listens) reject(why);
        else if (!coordinator.isEndOrdered) this.#replaceCoordinator(coordinator, why);
      }, reject);
    });
  }

  /** For want of room it may end, as the failure model has it, and a process manager would start it again. Nothing else may end it. */
  #replaceCoordinator({ error }: CoordProcess, why: CoordError): void {
    if (error?.code === 'CHECKPOINT_WRITE_FAILED') this.resumeCoordinator().catch(this.#settle.reject);
    else this.#settle.reject(why);
  }

  #finish(last: SaidEvent): void {
    this.#over = true;
    this.#settle.resolve(last);
  }

  async #lookAfter(number: number, worker: CoordProcess): Promise<void> {
    const ended = await worker.ended;
    if (worker.isEndOrdered || this.#over || ended.code === 0) return;
    this.#noteEnd(`worker ${number}`, worker, ended);
    await pause(RESTART_MS);
    if (this.#workers.get(number) === worker) this.startWorker(number);
  }

  #noteEnd(who: string, { error }: CoordProcess, ended: ProcessEnd): void {
    const said = error && `${error.code}: ${error.message}`;
    this.strangeEnds.push({ who, atMs: Math.round(this.options.nowMs()), error: said, ...ended });
  }

  #launch(
    name: string,
    { args, env, prefix }: { args: readonly string[]; env: Record<string, string>; prefix?: readonly string[] },
    onEvent?: (event: SaidEvent) => void,
  ): CoordProcess {
    const { insideDirectory } = this.options;
    return new CoordProcess({
      args: [...args, '--json'],
      prefix,
      env: { [TOKEN_VARIABLE]: TOKEN, ...env },
      insideDirectory,
      stderrFile: join(insideDirectory, `${name}.stderr`),
      onEvent,
    });
  }
}

const coordinatorEnded = ({ error }: CoordProcess, { signal, code }: ProcessEnd): CoordError =>
  new CoordError('CHAOS_FAILED', `the coordinator ended: ${error?.message ?? signal ?? `exit status ${code}`}`, {
    hint: 'coordinator.stderr in the kept directory says more.',
  });

const text = ({ host, port }: Endpoint): string => `${host}:${port}`;

export const pause = (forMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, forMs));
