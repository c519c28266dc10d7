/** A real coordinator on loopback, with its events to wait for, and everything closed at the end of the test. */
import { createToken, type Hello } from '@coord/protocol';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { TokenBook } from '../src/access/token-book.js';
import { type Coordinator, type CoordinatorEvent, type CoordinatorOptions, startCoordinator } from '../src/index.js';
import { BLOCK, sha256, stateAt, temporaryDirectory, testRun } from './fixtures.js';
import { ScriptedWorker } from './scripted-worker.js';

type EventOf<T extends CoordinatorEvent['event']> = Extract<CoordinatorEvent, { event: T }>;

export class EventLog {
  readonly all: CoordinatorEvent[] = [];
  private readonly waiters = new Set<() => void>();

  readonly add = (event: CoordinatorEvent): void => {
    this.all.push(event);
    for (const wake of [...this.waiters]) wake();
  };

  of<T extends CoordinatorEvent['event']>(type: T): EventOf<T>[] {
    return this.all.filter((event): event is EventOf<T> => event.event === type);
  }

  /** Resolves with the `count`-th event of this type, whether it has happened or not. */
  nth<T extends CoordinatorEvent['event']>(type: T, count = 1): Promise<EventOf<T>> {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.of(type)[count - 1];
        if (!found) return;
        this.waiters.delete(look);
        resolve(found);
      };
      this.waiters.add(look);
      look();
    });
  }
}

export interface TestCluster {
  readonly coordinator: Coordinator;
  readonly events: EventLog;
  readonly url: string;
  readonly token: string;
  readonly runDir: string;
  join(name?: string, returns?: Hello['returns']): Promise<ScriptedWorker>;
  /** Workers that have joined, are ready and have received their common first view. */
  training(count: number): Promise<ScriptedWorker[]>;
}

export async function startTestCluster(changes: Partial<CoordinatorOptions> = {}): Promise<TestCluster> {
  const events = new EventLog();
  const token = createToken();
  const runDir = changes.runDir ?? (await temporaryDirectory());
  const coordinator = await startCoordinator({
    run: testRun(),
    listen: { host: '127.0.0.1', port: 0 },
    tokens: TokenBook.of(token),
    runDir,
    minWorkers: 1,
    initialState: stateAt(0),
    readBlock: (hash) => (hash === sha256(BLOCK) ? BLOCK : undefined),
    logger: pino({ level: 'silent' }),
    retention: { keepLast: 3 },
    onEvent: events.add,
    ...changes,
    timings: { joinWindowMs: 20, returnWindowMs: 20, heartbeatTimeoutMs: 5000, ...changes.timings },
  });
  onTestFinished(() => coordinator.close());
  const [url] = coordinator.urls;
  const join: TestCluster['join'] = async (name, returns) => {
    const known = returns && { key: TokenBook.of(token).returnKey(returns.workerId), ...returns };
    const worker = await ScriptedWorker.join(url, coordinator.token, name, known);
    onTestFinished(() => worker.close());
    return worker;
  };
  return { coordinator, events, url, token: coordinator.token, runDir, join, training: (n) => trainTogether(n, join) };
}

async function trainTogether(count: number, join: TestCluster['join']): Promise<ScriptedWorker[]> {
  const workers: ScriptedWorker[] = [];
  for (let index = 0; index < count; index++) workers.push(await join(`worker ${index}`));
  await Promise.all(workers.map((worker) => worker.ready()));
  await Promise.all(workers.map((worker) => worker.nextView()));
  return workers;
}
