/** Starts a worker: joins the coordinator, gets model, data and state from it, and trains until the run ends. */
import { hostname } from 'node:os';
import {
  type Clock,
  type Endpoint,
  type EngineName,
  identityText,
  parseToken,
  type RunSpec,
  type StateMessage,
  toErrorRecord,
  totalSteps,
} from '@coord/protocol';
import type { PeerNetwork } from '@coord/transport';
import type { Logger } from 'pino';
import { catchUp } from './catch-up.js';
import { ClockOffsetEstimate } from './clock-offset.js';
import type { Compute } from './compute/compute-pool.js';
import { CoordinatorConnection } from './coordinator-connection.js';
import type { CoordinatorSession } from './coordinator-session.js';
import { faultFrom } from './fault-hook.js';
import { FlightRecorder, flightFile, formatFlightRecord, writeFlightRecord } from './flight-recorder.js';
import { GrainLoader } from './grain-loader.js';
import { Host } from './host.js';
import { HostState } from './host-state.js';
import { LinkKeys } from './link-keys.js';
import { Membership } from './membership.js';
import type { Reach } from './reach.js';
import type { StateFollower } from './state-follower.js';
import { type PeerContext, serveState, stateSource } from './state-link.js';
import { StateServer } from './state-server.js';
import { StateReceiver, sendState } from './state-transfer.js';
import { train } from './step-loop.js';
import { realSurroundings, type Surroundings } from './surroundings.js';
import type { UpdateParts } from './update.js';

/** Time for a newcomer to come level with those that train; after that it enters as it is, and copies while they wait. */
const CATCH_UP_TIMEOUT_MS = 60_000;
const COORDINATOR_PATIENCE_MS = 120_000;

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

/**
 * @throws CoordError UNREACHABLE, TOKEN_WRONG, PROTOCOL_VERSION, JOIN_REFUSED before the worker is in. Afterwards `finished`
 *   rejects with what ended it.
 */
export async function startWorker(options: WorkerOptions, around = realSurroundings): Promise<WorkerHandle> {
  const reach = await around.openReach({
    ...options,
    certificateSha256: parseToken(options.token).certificateSha256,
    name: nameOf(options),
  });
  const connection = await join(reach, options, around).catch(async (error) => {
    await reach.close();
    throw error;
  });
  const { workerId } = connection;
  const membership = new Membership(workerId);
  const finished = participate(connection, membership, reach, options, around).finally(() => reach.close());
  return {
    workerId,
    finished,
    async leave(reason) {
      await connection.say({ type: 'leaving', reason });
      membership.end();
      await finished.catch(() => undefined);
    },
  };
}

const nameOf = ({ name }: WorkerOptions): string => name ?? hostname();

function join(reach: Reach, options: WorkerOptions, { clock, random }: Surroundings): Promise<CoordinatorConnection> {
  return CoordinatorConnection.open({
    dial: (timeoutMs) => reach.dialCoordinator(timeoutMs),
    identity: { token: parseToken(options.token).secret, name: nameOf(options), hostName: hostname() },
    clock,
    random,
    patienceMs: patienceOf(options),
    joinPatienceMs: options.joinPatienceMs,
    onAwaited: ({ code, message }) =>
      options.onEvent?.({ event: 'coordinator-awaited', code, message, patienceMs: options.joinPatienceMs ?? 0 }),
    logger: options.logger,
  });
}

const patienceOf = ({ coordinatorPatienceMs }: WorkerOptions): number =>
  coordinatorPatienceMs ?? COORDINATOR_PATIENCE_MS;

/** Parts that the coordinator's messages reach; filled as the worker comes up. */
interface Reachable {
  host?: Host;
  stopRequested: boolean;
  /** Of this machine's clock from the coordinator's. */
  readonly offset: ClockOffsetEstimate;
}

async function participate(
  connection: CoordinatorConnection,
  membership: Membership,
  reach: Reach,
  options: WorkerOptions,
  around: Surroundings,
): Promise<WorkerResult> {
  const { run, workerId, heartbeatIntervalMs, ringTimeoutMs } = connection.welcome;
  const logger = options.logger.child({ worker: workerId });
  const reachable: Reachable = { stopRequested: false, offset: new ClockOffsetEstimate() };
  const { clock } = around;
  const flight = createFlight(connection, reachable, options, clock);
  listenToCoordinator(connection, membership, reachable, options, clock);
  const stopHeartbeats = every(heartbeatIntervalMs, clock, () =>
    sendHeartbeat(connection, membership, reachable.host, clock),
  );
  let compute: Compute | undefined;
  let network: PeerNetwork | undefined;
  let follower: StateFollower | undefined;
  try {
    compute = await around.startCompute(run, options.computeThreads ?? 1, options.engine);
    logger.info({ model: run.model.name }, `engine ${identityText(compute.identity)} is ready`);
    const { layout, weights, slots, exponents } = compute;
    const state = new HostState(layout, weights, slots, exponents, compute.checksum);
    const stateServer = new StateServer(state);
    const fetch = () => connection.ask((session) => fetchState(session, state));
    const fault = faultFrom(process.env);
    const opened = await reach.openNetwork({
      listen: options.listen ?? { host: options.advertise?.host ?? connection.localAddress },
      advertise: options.advertise,
      localSocket: options.localSocket,
    });
    network = fault.around(opened, clock);
    const keys = new LinkKeys();
    serveState({ network, keys, view: () => membership.view, clock, timeoutMs: ringTimeoutMs }, stateServer);
    const peers = { network, keys, clock, timeoutMs: ringTimeoutMs };
    follower = await followPeers(connection, peers, { run, totalSteps: stepsOf(run), compute, state }, logger);
    if (!follower) await fetch();
    const readers = around.openReaders(connection, options);
    const host = new Host({
      run,
      compute,
      state,
      stateServer,
      follower,
      membership,
      loader: new GrainLoader(readers.train, run.seed, run.data.train.samples),
      testReader: readers.test,
      network,
      keys,
      timeoutMs: ringTimeoutMs,
      logger,
      clock,
      leave: (reason) => leaveNow(connection, membership, reason),
      fault,
      recorder: flight.recorder,
      saveFlight: (title) => flight.write(title),
      fetchState: fetch,
      report: (report) => connection.report(report),
      send: (message) => void connection.say(message),
    });
    reachable.host = host;
    host.stopRequested = reachable.stopRequested;
    const { endpoint } = network;
    const { identity, size } = compute;
    connection.announce(() => ({
      type: 'ready',
      endpoint,
      linkKey: keys.publicKey,
      identity,
      step: state.step,
      share: size,
      workers: size,
    }));
    await train(host);
    return { step: state.step, weightsSha256: state.weightsSha256, stopped: state.step < host.totalSteps };
  } catch (error) {
    await reportFailure(connection, error);
    throw error;
  } finally {
    stopHeartbeats();
    await flight.write();
    await follower?.close();
    await network?.close();
    await compute?.close();
    await connection.close('the worker is done');
  }
}

const stepsOf = (run: RunSpec): number =>
  totalSteps({ samples: run.data.train.samples, ...run.batch }, run.epochs, run.maxSteps);

/** The state of those that train, kept up to date; undefined where nobody trains, or it cannot be had from them. */
async function followPeers(
  connection: CoordinatorConnection,
  peers: Omit<PeerContext, 'view' | 'signal'>,
  parts: UpdateParts,
  logger: Logger,
): Promise<StateFollower | undefined> {
  const view = await connection.ask((session) => session.requestPeers());
  if (!view) return undefined;
  const giveUp = new AbortController();
  const cancel = peers.clock.after(CATCH_UP_TIMEOUT_MS, () => giveUp.abort());
  const sourceOf = (rank: number) => stateSource({ ...peers, view, signal: giveUp.signal }, rank);
  try {
    return await catchUp({ view, sourceOf, parts, logger });
  } catch (error) {
    logger.info({ reason: toErrorRecord(error).message }, 'the state comes from the coordinator first');
    return undefined;
  } finally {
    cancel();
  }
}

function listenToCoordinator(
  connection: CoordinatorConnection,
  membership: Membership,
  reachable: Reachable,
  { onEvent, ...options }: WorkerOptions,
  clock: Clock,
): void {
  const step = () => reachable.host?.state.step ?? 0;
  connection.listen({
    onEcho: ({ sentMs, echoUnixMs }) => reachable.offset.add(sentMs, echoUnixMs, clock.nowMs()),
    onView: (view) => membership.install(view),
    onDrain(reason) {
      if (reachable.host) reachable.host.drain(reason);
      else leaveNow(connection, membership, reason);
    },
    onStop() {
      reachable.stopRequested = true;
      if (reachable.host) reachable.host.stopRequested = true;
    },
    onStateRequest: (session) => void uploadState(session, reachable.host),
    onGoodbye: () => membership.end(),
    onLost: () => onEvent?.({ event: 'coordinator-lost', step: step(), patienceMs: patienceOf(options) }),
    onReturned(workerId) {
      membership.rename(workerId);
      onEvent?.({ event: 'returned', workerId, step: step() });
    },
    onEnded: (error) => membership.end(error),
  });
}

/** Says so and takes no further view; who waits for one wakes up. */
function leaveNow(connection: CoordinatorConnection, membership: Membership, reason: string): void {
  void connection.say({ type: 'leaving', reason });
  membership.end();
}

/** @returns what ends it. */
function every(intervalMs: number, clock: Clock, action: () => void): () => void {
  let cancel = () => {};
  const next = () => {
    cancel = clock.after(intervalMs, () => {
      next();
      action();
    });
  };
  next();
  return () => cancel();
}

function sendHeartbeat(
  connection: CoordinatorConnection,
  membership: Membership,
  host: Host | undefined,
  clock: Clock,
): void {
  void connection.say({
    type: 'heartbeat',
    step: host?.state.step ?? 0,
    generation: membership.generation,
    phase: host?.phase ?? 'compiling',
    phaseMs: host ? clock.nowMs() - host.phaseSinceMs : undefined,
    ring: host?.ring?.activity,
    sentMs: clock.nowMs(),
  });
}

interface Flight {
  readonly recorder: FlightRecorder;
  /** Writes the record where the worker has a directory for it. A full disk is no reason to stop. */
  write(title?: string): Promise<void>;
}

function createFlight(
  { welcome }: CoordinatorConnection,
  { offset }: Reachable,
  options: WorkerOptions,
  clock: Clock,
): Flight {
  const recorder = new FlightRecorder(() => clock.nowMs());
  const { workerId, run } = welcome;
  const { logDirectory, logger, name = hostname() } = options;
  return {
    recorder,
    async write(title) {
      if (logDirectory === undefined) return;
      const who = { runId: run.runId, workerId, name, hostName: hostname(), pid: process.pid };
      const header = {
        kind: 'header',
        formatVersion: 1,
        ...who,
        clock: offset.best,
        dropped: recorder.dropped,
      } as const;
      const text = formatFlightRecord(header, recorder.events());
      await writeFlightRecord(flightFile(logDirectory, workerId, title), text).catch((error) => logger.warn(error));
    },
  };
}

async function uploadState(session: CoordinatorSession, host: Host | undefined): Promise<void> {
  if (!host) return;
  await sendState(await host.state.snapshot(), (message) => session.send(message));
}

function fetchState(session: CoordinatorSession, state: HostState): Promise<void> {
  const { replica: received } = state.createSpare();
  const receiver = new StateReceiver(received, 'the coordinator');
  return new Promise((resolve, reject) => {
    session.requestState((message: StateMessage) => {
      try {
        const step = receiver.accept(message);
        if (step === undefined) return;
        state.replace({ ...received, step }, receiver.weightsSha256);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
    session.onLost(reject);
  });
}

async function reportFailure(connection: CoordinatorConnection, error: unknown): Promise<void> {
  const { code, message, hint } = toErrorRecord(error);
  await connection.say({ type: 'failed', code, message: message.slice(0, 4000), hint });
}
