/** Starts a coordinator: one port, one ledger, one run. */
import type { IncomingMessage, Server } from 'node:http';
import { join } from 'node:path';
import { saveCheckpoint } from '@coord/checkpoint';
import { sweepLeftovers } from '@coord/disk';
import { type Clock, formatToken, headerOf, LIMITS, systemClock, type TrainingState } from '@coord/protocol';
import { type LinkListener, listenLinks } from '@coord/transport';
import { FailedAttempts } from './access/failed-attempts.js';
import type { TokenActions } from './access/token-routes.js';
import { reachableUrls } from './addresses.js';
import { Chronicle } from './chronicle.js';
import { Conductor } from './conductor.js';
import type { Evidence } from './divergences.js';
import { createDoor } from './door.js';
import { writeEvidence } from './evidence.js';
import { createHttpServer, listen } from './http-server.js';
import { type Ledger, openLedger } from './ledger.js';
import { type NatsDoor, openNatsDoor } from './nats-door.js';
import { type Coordinator, type CoordinatorOptions, DEFAULT_TIMINGS } from './options.js';
import { type RunPast, readPast } from './past.js';
import { lockRun } from './run-lock.js';
import { cursorAfter } from './schedule.js';
import { statusOf } from './status.js';
import { mayReturn } from './still-running.js';

/** Name of the ledger in the run directory. */
export const LEDGER_FILE = 'ledger.jsonl';

/**
 * Opens the run's ledger, listens, and waits for workers.
 *
 * @throws CoordError RUN_LOCKED (another coordinator leads it), PORT_IN_USE, UNREACHABLE (no such address here), LEDGER_CORRUPT, CHECKPOINT_MISMATCH (the directory
 *   holds the ledger of another run), CHECKPOINT_WRITE_FAILED (a full disk).
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const lock = await lockRun(options.runDir);
  try {
    const files = await sweepLeftovers(options.runDir);
    if (files.length > 0) options.logger.info({ files }, 'removed what killed processes had left half written');
    const coordinator = await startLocked(options);
    const close = () => coordinator.close().finally(() => lock.release());
    return { ...coordinator, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function startLocked(options: CoordinatorOptions): Promise<Coordinator> {
  const clock = options.clock ?? systemClock;
  const onWriteError = (error: unknown) => options.logger.warn(error, 'the ledger could not be written; trying again');
  const notices: Notices = { onWritten: () => {} };
  const onWritten = (lines: readonly string[]) => notices.onWritten(lines);
  const ledger = await openLedger(join(options.runDir, LEDGER_FILE), { clock, onWriteError, onWritten });
  try {
    const chronicle = new Chronicle(options.logger, ledger, options.onEvent ?? (() => {}));
    return await openDoors(options, clock, ledger, chronicle, notices);
  } catch (error) {
    // Why it did not start is the news, not that this could not be written down.
    await ledger.close().catch(() => {});
    throw error;
  }
}

/** Who hears of ledger lines; the ledger is there before anybody can listen. */
interface Notices {
  onWritten(lines: readonly string[]): void;
}

async function openDoors(
  options: CoordinatorOptions,
  clock: Clock,
  ledger: Ledger,
  chronicle: Chronicle,
  notices: Notices,
): Promise<Coordinator> {
  const { tokens, certificate, run } = options;
  const failures = new FailedAttempts(clock);
  const pins = {
    certificateSha256: certificate?.sha256,
    standingKey: options.nats && tokens.standing.publicKey,
  };
  const textOf = ({ secret }: { secret: string }) => formatToken({ secret, ...pins });
  const conductor = createConductor(options, clock, ledger, chronicle);
  const app = createHttpServer({
    tokens,
    failures,
    certificate,
    tokenActions: tokenActionsOf(conductor, chronicle, textOf),
    status: () => statusOf(conductor, options, clock.nowMs()),
    drain: (worker) => conductor.drain(worker),
  });
  const { handshakeTimeoutMs } = { ...DEFAULT_TIMINGS, ...options.timings };
  const door = createDoor({ tokens, failures, clock, handshakeTimeoutMs, conductor, chronicle });
  let natsDoor: NatsDoor | undefined;
  const links = options.nats ? undefined : openJoins(app.server, failures, door);
  const close = async () => {
    await conductor.close();
    await links?.close();
    await natsDoor?.close();
    await app.close();
    await ledger.close().catch((error) => chronicle.warnOf(error));
  };
  const open = async () => {
    const taken = await listen(app, options.listen);
    natsDoor = await openNatsDoor(options, { failures, chronicle, door: (link) => void door(link) });
    if (natsDoor) notices.onWritten = natsDoor.notify;
    return taken;
  };
  const endpoint = await open().catch(async (error) => {
    // Its timers must not keep the process of a coordinator that never was.
    await close();
    throw error;
  });
  const joinToken = tokens.newest('worker', 'join') ?? tokens.newest('worker');
  const urls = natsDoor ? [natsDoor.url] : reachableUrls(endpoint, certificate ? 'wss' : 'ws');
  chronicle.started(run, conductor.checkpointer.newest.header, endpoint, urls);
  return {
    endpoint,
    urls,
    token: joinToken ? textOf(joinToken) : '',
    textOf,
    awaited: conductor.awaited,
    returned: conductor.returned,
    finished: conductor.finished,
    requestStop: (reason) => conductor.requestStop(reason),
    close,
  };
}

/** Whoever failed too often is answered before anything is opened. */
function openJoins(server: Server, failures: FailedAttempts, door: ReturnType<typeof createDoor>): LinkListener {
  const addressOf = ({ socket }: IncomingMessage) => socket.remoteAddress ?? '';
  const refuse = (request: IncomingMessage) => {
    const blockedMs = failures.blockedMs(addressOf(request));
    const reason = `too many attempts without a right token; try again in ${Math.ceil(blockedMs / 1000)} s`;
    return blockedMs > 0 ? { status: 429, reason } : undefined;
  };
  const options = { path: '/join', strangerBytes: 2 * LIMITS.handshakeBytes, refuse };
  return listenLinks(server, options, (link, request) => void door(link, addressOf(request)));
}

function tokenActionsOf(conductor: Conductor, chronicle: Chronicle, textOf: TokenActions['textOf']): TokenActions {
  return {
    textOf,
    created: (token) => chronicle.tokenCreated(token),
    revoked(token, disconnect) {
      const disconnected = disconnect ? conductor.disconnect(token) : 0;
      chronicle.tokenRevoked(token, disconnected);
      return disconnected;
    },
  };
}

function createConductor(options: CoordinatorOptions, clock: Clock, ledger: Ledger, chronicle: Chronicle): Conductor {
  const { run, initialState } = options;
  if (ledger.tornBytes > 0) chronicle.torn(ledger.path, ledger.tornBytes);
  const initial = { header: headerOf(initialState), state: initialState };
  const past = livingPast(readPast(ledger.path, ledger.past, run));
  const timings = { ...DEFAULT_TIMINGS, ...options.timings };
  const save = (state: TrainingState) => saveState(options, state);
  const keepEvidence = (evidence: Evidence) => writeEvidence(options.runDir, evidence);
  return new Conductor({ ...options, clock, timings, initial, past, ledger, chronicle, save, keepEvidence });
}

const livingPast = (past: RunPast): RunPast => ({ ...past, awaited: past.awaited.filter(mayReturn) });

/** Writes a state to the run directory. @returns the checkpoint's path. */
async function saveState(
  { run, runDir, config, retention }: CoordinatorOptions,
  state: TrainingState,
): Promise<string> {
  const { runId, seed, configSha256 } = run;
  const info = { runId, seed, configSha256, config, ...cursorAfter(run, state.step) };
  const { path } = await saveCheckpoint(runDir, state, info, retention);
  return path;
}
