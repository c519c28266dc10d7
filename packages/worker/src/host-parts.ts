/** What a host is made of: where it computes, what it holds, and whom it speaks to. */
import type { BatchReader } from '@coord/data';
import type { Clock, RunSpec, WorkerMessage } from '@coord/protocol';
import type { PeerNetwork } from '@coord/transport';
import type { Logger } from 'pino';
import type { Compute } from './compute/compute-pool.js';
import type { FaultHook } from './fault-hook.js';
import type { FlightRecorder } from './flight-recorder.js';
import type { GrainLoader } from './grain-loader.js';
import type { HostState } from './host-state.js';
import type { LinkKeys } from './link-keys.js';
import type { Membership } from './membership.js';
import type { Report } from './report-log.js';
import type { StateFollower } from './state-follower.js';
import type { StateServer } from './state-server.js';

export interface HostParts {
  readonly run: RunSpec;
  readonly compute: Compute;
  readonly state: HostState;
  readonly stateServer: StateServer;
  /** What keeps the state up to date until this host is in the ring; undefined where nobody trained. */
  readonly follower: StateFollower | undefined;
  readonly membership: Membership;
  readonly loader: GrainLoader;
  readonly testReader: BatchReader | undefined;
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
  readonly timeoutMs: number;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly recorder: FlightRecorder;
  /** Says goodbye to the coordinator and takes no further view. */
  leave(reason: string): void;
  readonly fault: FaultHook;
  /** Puts the flight record where people find it; in a file of its own where it has a title. */
  saveFlight(title?: string): Promise<void>;
  /** Takes over the newest state that the coordinator holds: one that all replicas agreed on. */
  fetchState(): Promise<void>;
  /** For what the coordinator must have, sooner or later. */
  report(report: Report): void;
  /** For what means something at once or not at all. */
  send(message: WorkerMessage): void;
}
