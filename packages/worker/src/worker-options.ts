/** What a worker is started with, what it tells on the way, and what is left of it in the end. */
import type { Endpoint, EngineName } from '@coord/protocol';
import type { Logger } from 'pino';

export interface WorkerOptions {
  /** Address of the coordinator: `ws://HOST:PORT`, `http://HOST:PORT`, `HOST:PORT`, or `nats://HOST:PORT[/RUN]`. */
  readonly url: string;
  /** `USER:PASSWORD` or `TOKEN` for the NATS server. */
  readonly natsCredentials?: string | undefined;
  readonly token: string;
  /** What people call this worker; the host name where it is left out. */
  readonly name?: string;
  /** Where other workers' links are accepted; any port of `advertise.host` where it is left out. */
  readonly listen?: Endpoint;
  /**
   * Address under which other workers reach this one; the one that faces the coordinator where it is left out. Its port is
   * the one that is listened on, unless something stands between that gives it another.
   */
  readonly advertise?: { readonly host: string; readonly port?: number };
  /** Peers on the same machine may link through a Unix-domain socket. Default false. */
  readonly localSocket?: boolean | undefined;
  /** Compute threads of this host. */
  readonly computeThreads?: number;
  /** Computes here instead of the run's engine. */
  readonly engine?: EngineName;
  /** Directory in which verified data blocks are kept between runs. */
  readonly cacheDirectory: string;
  /** Where the flight record is written when something goes wrong, and at the end; nowhere when it is left out. */
  readonly logDirectory?: string;
  /** How long the first join waits for a coordinator that is not there yet; not at all where it is left out. */
  readonly joinPatienceMs?: number | undefined;
  /** How long the worker goes on without its coordinator before it gives up; 2 minutes where it is left out. */
  readonly coordinatorPatienceMs?: number;
  readonly logger: Logger;
  readonly onEvent?: (event: WorkerEvent) => void;
}

/** What happens to the connection with the coordinator. */
export type WorkerEvent =
  /** Nobody is there yet; it is waited for. */
  | {
      readonly event: 'coordinator-awaited';
      readonly code: string;
      readonly message: string;
      readonly patienceMs: number;
    }
  | { readonly event: 'coordinator-lost'; readonly step: number; readonly patienceMs: number }
  | { readonly event: 'returned'; readonly workerId: string; readonly step: number };

export interface WorkerResult {
  readonly step: number;
  readonly weightsSha256: string;
  readonly stopped: boolean;
}

export interface WorkerHandle {
  readonly workerId: string;
  /** Resolves when the run is over and the coordinator has said goodbye, or the worker has left. */
  readonly finished: Promise<WorkerResult>;
  /** Leaves the cluster; the others go on without this worker. */
  leave(reason: string): Promise<void>;
}
