/** Starts a worker: joins the coordinator, gets model, data and state from it, and trains until the run ends. */
import { hostname } from 'node:os';
import { type Clock, identityText, parseToken, type RunSpec, toErrorRecord, totalSteps } from '@coord/protocol';
import type { PeerNetwork } from '@coord/transport';
import type { Logger } from 'pino';
import { catchUp } from './catch-up.js';
import { ClockOffsetEstimate } from './clock-offset.js';
import type { Compute } from './compute/compute-pool.js';
import { CoordinatorConnection } from './coordinator-connection.js';
import { fetchState, uploadState } from './coordinator-state.js';
import { faultFrom } from './fault-hook.js';
import { createFlightLog } from './flight-log.js';
import { GrainLoader } from './grain-loader.js';
import { Host } from './host.js';
import { HostState } from './host-state.js';
import { LinkKeys } from './link-keys.js';
import { Membership } from './membership.js';
import type { Reach } from './reach.js';
import type { StateFollower } from './state-follower.js';
import { type PeerContext, serveState, stateSource } from './state-link.js';
import { StateServer } from './state-server.js';
import { train } from './step-loop.js';
import { realSurroundings, type Surroundings } from './surroundings.js';
import type { UpdateParts } from './update.js';
import type { WorkerHandle, WorkerOptions, WorkerResult } from './worker-options.js';

/** A newcomer hears nothing for so long of those that train: then it enters as it is, and copies while they wait. */
const CATCH_UP_SILENCE_MS = 60_000;
const COORDINATOR_PATIENCE_MS = 120_000;

/**
 * @throws CoordError UNREACHABLE, TOKEN_WRONG, PROTOCOL_VERSION, JOIN_REFUSED before the worker is in. Afterwards `finished`
 *   rejects with what ended it.
 */
export async function startWorker(options: WorkerOptions, around = realSurroundings): Promise<WorkerHandle> {
  const reach = await around.openReach({
    ...options,
    token: parseToken(options.token),
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
  const flight = createFlightLog(connection, reachable.offset, options, clock);
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
    // The coordinator hangs up on who has failed: that is no loss to come back from, however long the rest takes to end.
    await connection.close('the worker has failed');
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
  const { signal } = new AbortController();
  const sourceOf = (rank: number) => stateSource({ ...peers, view, signal }, rank);
  const patience = { clock: peers.clock, timeoutMs: CATCH_UP_SILENCE_MS };
  try {
    return await catchUp({ view, sourceOf, parts, patience, logger });
  } catch (error) {
    logger.info({ reason: toErrorRecord(error).message }, 'the state comes from the coordinator first');
    return undefined;
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
    onStateRequest(session) {
      if (reachable.host) void uploadState(session, reachable.host.state);
    },
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

async function reportFailure(connection: CoordinatorConnection, error: unknown): Promise<void> {
  const { code, message, hint } = toErrorRecord(error);
  await connection.say({ type: 'failed', code, message: message.slice(0, 4000), hint });
}
