/** One host's part in a run: what the step loop works on, and what it tells the coordinator. */
import type { BatchReader } from '@coord/data';
import {
  type Arena,
  type BatchPlan,
  type Clock,
  CoordError,
  type MetricSums,
  type Phase,
  type PhaseTimes,
  planStep,
  type RunSpec,
  type StepPlan,
  stepsPerEpoch,
  totalSteps,
  type View,
} from '@coord/protocol';
import type { PeerNetwork } from '@coord/transport';
import type { Compute } from './compute/compute-pool.js';
import { divergenceReport, splitReport, undecidable } from './divergence-report.js';
import type { FaultHook } from './fault-hook.js';
import type { FlightRecorder } from './flight-recorder.js';
import type { HostRecord } from './grain-book.js';
import type { GrainLoader } from './grain-loader.js';
import type { HostParts } from './host-parts.js';
import type { HostState } from './host-state.js';
import type { LinkKeys } from './link-keys.js';
import type { ActiveView, Membership } from './membership.js';
import { NextRing } from './next-ring.js';
import type { RecordedRing } from './recorded-ring.js';
import { RecoveryWatch } from './recovery-watch.js';
import { MaximaExchange, type StepMaxima } from './reduction.js';
import { openRing } from './ring-links.js';
import type { StateFollower } from './state-follower.js';
import type { StateServer } from './state-server.js';
import { StepProgress } from './step-progress.js';
import type { Agreement, Divergence, Split } from './synchronise.js';

/** Of the time after which the others give a silent neighbour up. */
const FOLLOW_SHARE = 3;

/** Times that all go back together before the run ends as undecidable. */
const MAX_SPLITS = 2;

export interface StepResult {
  readonly generation: number;
  readonly metrics: MetricSums;
  readonly maxima: StepMaxima;
  readonly times: PhaseTimes;
}

export class Host {
  readonly batchPlan: BatchPlan;
  readonly totalSteps: number;
  readonly progress: StepProgress;
  readonly maxima: MaximaExchange;
  phase: Phase = 'joining';
  /** When the phase began, by the host's clock. */
  phaseSinceMs: number;
  /** The ring of the view that is being worked in. */
  ring: RecordedRing | undefined;
  /** The coordinator wants an end; the next reduction tells everybody (docs/decisions/0006-stop-is-a-flag.md). */
  stopRequested = false;
  finished = false;
  readonly recovery: RecoveryWatch;
  readonly nextRing: NextRing;
  follower: StateFollower | undefined;
  /** The run was stopped after the last completed step. */
  stopped = false;
  #drainReason: string | undefined;
  #evaluatedStep = -1;
  #ownSamples = 0;
  #splits = 0;

  constructor(private readonly parts: HostParts) {
    const { run, compute, clock } = parts;
    this.phaseSinceMs = clock.nowMs();
    this.recovery = new RecoveryWatch(clock);
    this.nextRing = new NextRing((active) => openRing(active, this));
    parts.membership.onView((active) => this.nextRing.prepare(active));
    this.follower = parts.follower;
    this.batchPlan = { samples: run.data.train.samples, ...run.batch };
    this.totalSteps = totalSteps(this.batchPlan, run.epochs, run.maxSteps);
    this.progress = new StepProgress(compute, parts.state);
    this.maxima = new MaximaExchange(compute.layout, run.batch.grains);
  }

  get run(): RunSpec {
    return this.parts.run;
  }
  get stateServer(): StateServer {
    return this.parts.stateServer;
  }
  get compute(): Compute {
    return this.parts.compute;
  }
  get state(): HostState {
    return this.parts.state;
  }
  get membership(): Membership {
    return this.parts.membership;
  }
  get loader(): GrainLoader {
    return this.parts.loader;
  }
  get testReader(): BatchReader | undefined {
    return this.parts.testReader;
  }
  get network(): PeerNetwork {
    return this.parts.network;
  }
  get keys(): LinkKeys {
    return this.parts.keys;
  }
  get arena(): Arena {
    return this.parts.compute.arena;
  }
  get clock(): Clock {
    return this.parts.clock;
  }
  get timeoutMs(): number {
    return this.parts.timeoutMs;
  }

  get fault(): FaultHook {
    return this.parts.fault;
  }
  get recorder(): FlightRecorder {
    return this.parts.recorder;
  }

  enter(phase: Phase): void {
    this.phase = phase;
    this.phaseSinceMs = this.clock.nowMs();
    const { generation } = this.membership;
    this.recorder.record({ kind: 'phase', phase, step: this.state.step, generation });
  }

  isComplete(): boolean {
    return this.stopped || this.state.step >= this.totalSteps;
  }

  /** Leaves when the step in progress is complete; at once where there is none. */
  drain(reason: string): void {
    this.#drainReason = reason;
    if (this.phase === 'waiting') this.leaveIfDrained();
  }

  /** To be called at step boundaries. @returns true when this host has left. */
  leaveIfDrained(): boolean {
    if (this.#drainReason === undefined || this.isComplete()) return false;
    this.parts.leave(this.#drainReason);
    return true;
  }

  /** @param isDoubted replicas have differed since they agreed on what they hold. */
  record(isDoubted: boolean): HostRecord {
    this.progress.dropVoid();
    const { attempt } = this.progress;
    return {
      step: this.state.step,
      evaluatedStep: this.#evaluatedStep,
      stopped: this.stopped,
      attempt,
      updateNumber: this.state.updateNumber(),
      isDoubted,
      held: this.progress.grainsHeld(),
    };
  }

  /** What this host tells of its state is true until it moves on with the others: updates made elsewhere wait. */
  async holdState(): Promise<void> {
    await this.follower?.hold();
  }

  /** An update that was made elsewhere has come out otherwise here. */
  async mendState(): Promise<void> {
    if (!this.state.isTorn) return;
    await this.#unfollow();
    await this.parts.fetchState();
  }

  /** @returns true once the state is that of `step`. Whoever does not come to it in time copies: the others wait meanwhile. */
  async reachByFollowing(step: number, signal: AbortSignal): Promise<boolean> {
    if (!this.follower) return false;
    const giveUp = new AbortController();
    const cancel = this.clock.after(this.timeoutMs / FOLLOW_SHARE, () => giveUp.abort());
    const isThere = await this.follower.reach(step, AbortSignal.any([signal, giveUp.signal])).finally(cancel);
    if (!isThere) await this.#unfollow();
    return isThere;
  }

  async #unfollow(): Promise<void> {
    const { follower } = this;
    this.follower = undefined;
    await follower?.close();
  }

  /** Takes over what the hosts of a view have agreed on. */
  async adopt(agreement: Agreement, { view, rank }: ActiveView): Promise<void> {
    await this.#unfollow();
    const { divergence } = agreement;
    if (divergence) this.#reportDivergence(divergence, view, rank);
    this.progress.dropVoid();
    if (agreement.held[rank].size === 0) this.progress.restart(0);
    this.#evaluatedStep = agreement.evaluatedStep;
    this.stopped = agreement.stopped;
  }

  /** Nobody can say who is right, so everybody computes again from what all agreed on last: the coordinator's newest state. */
  async startOver(split: Split, { view, rank }: ActiveView): Promise<void> {
    if (this.#splits++ >= MAX_SPLITS) throw undecidable(split);
    this.parts.logger.warn({ step: split.step, rank }, 'replicas differ without a majority: computing again');
    this.progress.restart(0);
    await this.parts.fetchState();
    this.#evaluatedStep = Math.min(this.#evaluatedStep, this.state.step);
    this.parts.send(splitReport(split, view, this.state.step));
  }

  #reportDivergence(divergence: Divergence, view: View, rank: number): void {
    const { step, dissenters } = divergence;
    const { generation } = view;
    const isOdd = dissenters.includes(rank);
    const message = isOdd ? 'this replica differed, and has copied the majority' : 'another replica differed';
    this.parts.logger.warn({ step, generation, rank, dissenters }, message);
    this.recorder.record({ kind: 'failure', step, generation, code: 'REPLICA_DIVERGED', message });
    if (isOdd) void this.parts.saveFlight(`diverged-step-${step}`);
    const report = divergenceReport(divergence, view, rank);
    if (report) this.parts.send(report);
  }

  completeStep(plan: StepPlan, { generation, metrics, maxima, times }: StepResult): void {
    const { outcomes, attempt } = this.progress;
    this.#ownSamples = [...outcomes.values()].reduce((sum, outcome) => sum + outcome.metrics.samples, 0);
    if (maxima.stop) this.stopped = true;
    this.parts.report({
      type: 'step-report',
      generation,
      step: this.state.step,
      weightsSha256: this.state.weightsSha256,
      metrics: { ...metrics, samples: plan.samples },
      ownSamples: this.#ownSamples,
      times,
      skipped: maxima.nonFinite !== undefined,
      requantised: attempt === 1,
      recovery: this.recovery.finish(),
    });
    this.recorder.record({ kind: 'step', step: this.state.step, times });
    const { step, weightsSha256 } = this.state;
    this.stateServer.afterUpdate({ step, weightsSha256, skipped: maxima.nonFinite !== undefined });
    this.progress.restart(0);
  }

  /** The epoch (from 1) whose evaluation is due now, undefined when none is. */
  epochToEvaluate(): number | undefined {
    const { step } = this.state;
    const { everyEpochs } = this.run.evaluation;
    if (step === 0 || everyEpochs === 0 || !this.run.data.test || this.#evaluatedStep >= step) return undefined;
    const last = planStep(this.batchPlan, step - 1);
    const epoch = last.epoch + 1;
    const isDue = (last.endsEpoch && epoch % everyEpochs === 0) || step === this.totalSteps;
    return isDue ? epoch : undefined;
  }

  completeEvaluation(epoch: number, metrics: MetricSums, durationMs: number): void {
    this.#evaluatedStep = this.state.step;
    this.parts.report({ type: 'evaluation-report', step: this.state.step, epoch, metrics, durationMs });
  }

  /** Said once; a later view only lets stragglers copy this host's state. */
  reportFinished(): void {
    this.enter('finished');
    if (this.finished) return;
    this.finished = true;
    const { step, weightsSha256 } = this.state;
    this.parts.report({ type: 'finished', step, weightsSha256, stopped: step < this.totalSteps });
  }

  reportRingFailure({ view, rank }: ActiveView, error: unknown): void {
    const code = error instanceof CoordError ? error.code : 'UNEXPECTED';
    const message = error instanceof Error ? error.message : String(error);
    const { generation } = view;
    this.parts.logger.warn({ generation, rank, step: this.state.step, code }, message);
    this.recorder.record({ kind: 'failure', step: this.state.step, generation, code, message });
    void this.parts.saveFlight();
    // Who already knows of a newer view has nothing to complain about.
    if (this.membership.generation > generation) return;
    const peer = error instanceof CoordError ? error.facts.peer : undefined;
    const suspect = typeof peer === 'number' ? view.members[peer]?.workerId : undefined;
    const { step } = this.state;
    this.parts.send({ type: 'ring-failed', generation, step, code, message: message.slice(0, 4000), suspect });
  }

  /** Epochs completed, as a fraction; for logs. */
  get epochsDone(): number {
    return this.state.step / stepsPerEpoch(this.batchPlan);
  }
}
