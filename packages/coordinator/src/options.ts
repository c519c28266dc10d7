/** What a coordinator is started with. */
import type { Clock, Endpoint, RunSpec, TrainingState } from '@coord/protocol';
import type { Certificate } from '@coord/transport';
import type { Logger } from 'pino';
import type { TokenBook } from './access/token-book.js';
import type { CoordinatorEvent, RunResult } from './events.js';
import type { FormerWorker } from './past.js';
import type { ShareOptions } from './shares.js';

export interface Timings {
  /** How often workers are told to say that they are alive. */
  readonly heartbeatIntervalMs: number;
  /** Silence after which a worker counts as lost. */
  readonly heartbeatTimeoutMs: number;
  /** A ring operation without progress for this long has failed. */
  readonly ringTimeoutMs: number;
  /** Workers that become ready within this time of each other enter the ring in one view. */
  readonly joinWindowMs: number;
  /** How long the members of the last view are waited for after the death of an earlier coordinator. */
  readonly returnWindowMs: number;
  /** How long a broken ring waits for the loss that broke it to be noticed. */
  readonly ringGraceMs: number;
  /** Time for a joining worker's hello. */
  readonly handshakeTimeoutMs: number;
  /** Time for a worker's whole state to arrive after it was asked for. */
  readonly uploadTimeoutMs: number;
}

export const DEFAULT_TIMINGS: Timings = {
  heartbeatIntervalMs: 500,
  heartbeatTimeoutMs: 3000,
  ringTimeoutMs: 15_000,
  joinWindowMs: 300,
  // The longest pause between two attempts of a worker, and a second to join.
  returnWindowMs: 6000,
  ringGraceMs: 300,
  handshakeTimeoutMs: 10_000,
  uploadTimeoutMs: 120_000,
};

export interface CoordinatorOptions {
  readonly run: RunSpec;
  /** Port 0 takes any free port. */
  readonly listen: { readonly host: string; readonly port: number };
  /**
   * Workers join over NATS: address of the server, and credentials (`USER:PASSWORD` or `TOKEN`). Where it is left out they join
   * over WebSockets.
   */
  readonly nats?:
    | {
        readonly url: string;
        readonly credentials?: string | undefined;
        /** The ledger's lines are published, for whoever listens at the server. Default false. */
        readonly notices?: boolean;
      }
    | undefined;
  /** Who may join, see and command. */
  readonly tokens: TokenBook;
  /** Status, commands and workers' links go through TLS with this certificate. */
  readonly certificate?: Certificate | undefined;
  /** Existing directory; holds the ledger and the checkpoints. */
  readonly runDir: string;
  /** Workers that must be ready before the first step of this start. */
  readonly minWorkers: number;
  /** Below this many workers training waits for others; 1 where it is left out. */
  readonly floorWorkers?: number;
  /** Workers that train at a time; who comes beyond waits as a spare. Any number where it is left out. */
  readonly maxWorkers?: number;
  /** Where training starts: initial weights, or a checkpoint's state. */
  readonly initialState: TrainingState;
  /** The dataset's blocks by content hash; undefined where there is none of that hash. */
  readonly readBlock: (sha256: string) => Promise<Uint8Array | undefined> | Uint8Array | undefined;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly timings?: Partial<Timings>;
  /** When grain shares follow measured speed. */
  readonly shares?: Partial<ShareOptions>;
  readonly retention: { readonly keepLast: number };
  /** Stored in every checkpoint, so that it can be resumed without its configuration file. */
  readonly config?: unknown;
  /** False: the run fails with WORKERS_LOST when its last worker is gone; true (default): it waits for others. */
  readonly waitForWorkers?: boolean;
  readonly onEvent?: (event: CoordinatorEvent) => void;
}

export interface Coordinator {
  /** Where it really listens; with NATS for status and commands alone. */
  readonly endpoint: Endpoint;
  /** Addresses that workers can be given, the most useful first: WebSocket URLs, or a NATS server's with the run. */
  readonly urls: readonly string[];
  /** What workers are given: the newest token for them, with what this coordinator is known by. */
  readonly token: string;
  /** Any token of the run as people paste it. */
  textOf(token: { readonly secret: string }): string;
  /** Workers of an earlier start that may still be training and come back. */
  readonly awaited: readonly FormerWorker[];
  /** Resolves, once nobody is awaited any longer, with those that came back. Never where the run ends before. */
  readonly returned: Promise<readonly FormerWorker[]>;
  /** Rejects with the CoordError that ended the run. */
  readonly finished: Promise<RunResult>;
  /** Ends the run at the next step boundary with a checkpoint. Calling it again is harmless. */
  requestStop(reason: string): void;
  /** Closes every connection and file at once, whatever is in progress. */
  close(): Promise<void>;
}
