/** Chronicle: every fact of the run is told once, here, to all who want it: the log, the ledger, the starter's events. */
import {
  type ArrayDifference,
  type CoordError,
  type Endpoint,
  type ErrorRecord,
  identityText,
  type RunSpec,
  type StateHeader,
  toErrorRecord,
  type View,
} from '@coord/protocol';
import type { Logger } from 'pino';
import type { TokenRecord } from './access/token-record.js';
import type { SavedCheckpoint } from './checkpointer.js';
import type { CoordinatorEvent, EvaluationEvent, RunResult, StepEvent } from './events.js';
import type { Ledger } from './ledger.js';
import { type Recovery, roundedTimes } from './recovery.js';
import type { Straggler } from './stragglers.js';
import type { WorkerSession } from './worker-session.js';

/** To tenths: what is measured is no more exact. */
const rounded = (value: number): number => Math.round(value * 10) / 10;

export class Chronicle {
  constructor(
    readonly log: Logger,
    private readonly ledger: Ledger,
    private readonly emit: (event: CoordinatorEvent) => void,
  ) {}

  started(run: RunSpec, { step, weightsSha256 }: StateHeader, endpoint: Endpoint, urls: readonly string[]): void {
    const { runId, configSha256 } = run;
    this.log.info({ runId, step, endpoint }, 'coordinator is listening');
    this.ledger.append({ type: 'run-started', runId, configSha256, step, weightsSha256 });
    this.emit({ event: 'listening', endpoint, urls });
  }

  torn(path: string, sizeBytes: number): void {
    const message = `the ledger ${path} ended in a half-written line of ${sizeBytes} bytes; it was cut off`;
    this.warn({ code: 'LEDGER_CORRUPT', message });
  }

  joined(session: WorkerSession): void {
    const { workerId, remote, tokenId } = session;
    const { name, hostName, pid } = session.hello;
    const returns = session.returns?.workerId;
    this.log.info(
      { workerId, name, hostName, pid, remote, returns, tokenId },
      returns ? 'worker came back' : 'worker joined',
    );
    this.ledger.append({ type: 'worker-joined', workerId, name, hostName, pid, remote, returns, tokenId });
    this.emit({ event: 'worker-joined', workerId, name, remote, returns });
  }

  tokenCreated({ id: tokenId, name, role, expiresAt }: TokenRecord): void {
    this.log.info({ tokenId, name, role, expiresAt }, 'token created');
    this.ledger.append({ type: 'token-created', tokenId, name, role, expiresAt });
  }

  tokenRevoked({ id: tokenId, name, expiresAt }: TokenRecord, disconnected: number): void {
    this.log.info({ tokenId, name, expiresAt, disconnected }, 'token revoked');
    this.ledger.append({ type: 'token-revoked', tokenId, name, expiresAt, disconnected });
  }

  ready(session: WorkerSession): void {
    const { workerId, hello } = session;
    const { identity, share, endpoint } = session.ready!;
    const engine = identityText(identity);
    this.log.info({ workerId, engine, share, endpoint }, 'worker is ready');
    this.ledger.append({ type: 'worker-ready', workerId, identity, share });
    this.emit({ event: 'worker-ready', workerId, name: hello.name, engine });
  }

  gone(session: WorkerSession, left: boolean, reason: string): void {
    const { workerId, hello, phase, step } = session;
    this.log[left ? 'info' : 'warn']({ workerId, phase, step, reason }, left ? 'worker left' : 'worker lost');
    this.ledger.append({ type: left ? 'worker-left' : 'worker-lost', workerId, reason });
    this.emit({ event: 'worker-lost', workerId, name: hello.name, left, reason });
  }

  view({ generation, members, reason }: View): void {
    const brief = members.map(({ workerId, share }) => ({ workerId, share }));
    this.log.info({ generation, members: brief, reason }, 'view formed');
    this.ledger.append({ type: 'view', generation, members: brief, reason });
    const workers = members.reduce((sum, member) => sum + member.workers, 0);
    this.emit({ event: 'view', generation, members: brief.map(({ workerId }) => workerId), workers, reason });
  }

  waiting(present: number, needed: number, reason: string): void {
    this.log.info({ present, needed, reason }, 'waiting for workers');
    this.emit({ event: 'waiting', present, needed, reason });
  }

  /** @param isNew false when an earlier computation of the same step stands in the ledger already. */
  step(step: StepEvent, generation: number, isNew: boolean): void {
    const { epoch, weightsSha256, loss, accuracy, samples, metrics, skipped } = step;
    this.log.debug({ step: step.step, epoch, loss, accuracy, weightsSha256, times: step.times }, 'step');
    const entry = { step: step.step, epoch, generation, weightsSha256, loss, accuracy, samples, metrics, skipped };
    if (isNew) this.ledger.append({ type: 'step', ...entry });
    this.emit(step);
  }

  evaluation(evaluation: EvaluationEvent): void {
    const { step, epoch, loss, accuracy, samples, metrics } = evaluation;
    this.log.info({ step, epoch, loss, accuracy, samples }, 'evaluation');
    this.ledger.append({ type: 'evaluation', step, epoch, loss, accuracy, samples, metrics });
    this.emit(evaluation);
  }

  checkpoint(saved: SavedCheckpoint): void {
    this.log.info(saved, 'checkpoint saved');
    this.ledger.append({ type: 'checkpoint', ...saved });
    this.emit({ event: 'checkpoint', ...saved });
  }

  rewound(step: number, lastStep: number): void {
    const reason = `every worker that held the steps up to ${lastStep} is gone`;
    this.ledger.append({ type: 'rewound', step, reason });
    this.warn({ code: 'WORKERS_LOST', message: `${reason}: they are computed again from step ${step + 1} on` });
  }

  /** The workers that completed these steps were gone before their reports arrived; others hold their state. */
  unreported(steps: readonly number[]): void {
    this.ledger.append({ type: 'unreported', firstStep: steps[0], lastStep: steps[steps.length - 1] });
    this.warn({
      code: 'UNEXPECTED',
      message: `nobody lived to report step ${steps.join(', ')}; training goes on from there`,
    });
  }

  diverged(session: WorkerSession, step: number, weightsSha256: string, majoritySha256: string): void {
    this.ledger.append({ type: 'worker-diverged', workerId: session.workerId, step, weightsSha256, majoritySha256 });
    const { workerId, hello } = session;
    this.emit({ event: 'worker-diverged', workerId, name: hello.name, step, weightsSha256, majoritySha256 });
    const message = `${session.label} came to other weights or metrics at step ${step} than the majority: ${weightsSha256} instead of ${majoritySha256}`;
    this.warn({ code: 'REPLICA_DIVERGED', message });
  }

  repaired(session: WorkerSession, step: number, isIntact: boolean, differences: readonly ArrayDifference[]): void {
    const { workerId, hello } = session;
    const arrays = differences.map(({ name, count }) => ({ name, count }));
    this.log.warn({ workerId, step, isIntact, arrays }, "worker repaired: it holds the majority's state now");
    this.ledger.append({ type: 'worker-repaired', workerId, step, isIntact, arrays });
    this.emit({ event: 'worker-repaired', workerId, name: hello.name, step, isIntact, arrays });
  }

  /** @param step after which it is named. */
  straggles(session: WorkerSession, step: number, { factor, extraMs }: Straggler): void {
    const { workerId, hello } = session;
    const facts = { workerId, name: hello.name, step, factor: rounded(factor), extraMs: rounded(extraMs) };
    this.log.warn(facts, 'worker is a straggler: the others wait for it');
    this.emit({ event: 'straggler', ...facts });
  }

  keepsUp(session: WorkerSession, step: number, forMs: number, forSteps: number): void {
    const { workerId, hello } = session;
    const facts = { workerId, name: hello.name, step, forMs: Math.round(forMs), forSteps };
    this.log.info(facts, 'worker is no straggler any longer');
    this.emit({ event: 'straggler-over', ...facts });
  }

  recovered(recovery: Recovery): void {
    const { generation, step, reason, unheardMs } = recovery;
    const { totalMs, viewMs, ringMs, syncMs, grainsMs, stepMs } = roundedTimes(recovery);
    const facts = { generation, step, totalMs, unheardMs, viewMs, ringMs, syncMs, grainsMs, stepMs };
    this.log.info({ reason, ...facts }, 'training goes on in the new view');
    this.ledger.append({ type: 'recovered', ...facts });
    this.emit({ event: 'recovered', reason, ...facts });
  }

  /** Nobody could say who is right. */
  split(step: number, opinions: readonly { workerId: string; weightsSha256: string }[], startsFrom: number): void {
    const brief = opinions.map(({ workerId, weightsSha256 }) => ({ workerId, weightsSha256 }));
    this.ledger.append({ type: 'replicas-split', step, opinions: brief, startsFrom });
    const text = brief.map(({ workerId, weightsSha256 }) => `${workerId} ${weightsSha256.slice(0, 12)}…`).join(', ');
    const message = `workers hold different weights after step ${step} and none has a majority (${text}): all compute again from step ${startsFrom + 1} on`;
    this.warn({ code: 'REPLICA_DIVERGED', message });
  }

  stopping(reason: string): void {
    this.log.info({ reason }, 'stopping');
    this.ledger.append({ type: 'stopped', reason });
    this.emit({ event: 'stopping', reason });
  }

  warn(record: ErrorRecord): void {
    this.log.warn({ code: record.code, facts: record.facts }, record.message);
    this.emit({ event: 'warning', code: record.code, message: record.message });
  }

  warnOf(error: unknown): void {
    this.warn(toErrorRecord(error));
  }

  failed(error: CoordError): void {
    this.log.error({ code: error.code, facts: error.facts }, error.message);
    this.ledger.append({ type: 'failed', code: error.code, message: error.message });
  }

  finished(result: RunResult): void {
    const { step, epoch, weightsSha256, stopped } = result;
    this.log.info(result, 'finished');
    this.ledger.append({ type: 'finished', step, epoch, weightsSha256, stopped });
    this.emit({ event: 'finished', ...result });
  }
}
