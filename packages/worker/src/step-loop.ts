/**
 * The worker's loop, the place where the whole data flow is seen:
 *
 *   order → grain → batch → gradient → quantise → all-reduce → dequantise → optimizer → hash
 *
 * One way out: whatever breaks inside a view (a link, a time-out, a newer generation) ends that view with a typed error;
 * the worker keeps its own grain sums, takes the next view, and goes on.
 */
import { CoordError, type Grain, isRecoverable, planStep, type StepPlan } from '@coord/protocol';
import { quantaFor, type Ring } from '@coord/ring';
import { BucketedSum } from './bucketed-sum.js';
import { evaluate } from './evaluation.js';
import { assignGrains, NOTHING_HELD } from './grain-book.js';
import { feedThread, feedThreads, GrainDeal } from './grain-feed.js';
import type { Host } from './host.js';
import type { ActiveView } from './membership.js';
import { Overlap } from './overlap.js';
import { type PhaseTimer, startPhaseTimer } from './phase-timer.js';
import { recordRing } from './recorded-ring.js';
import { reduceSums, type StepMaxima } from './reduction.js';
import { isUnanimous, SPREAD_BYTES, spreadDigest } from './replica-digest.js';
import { LoneSum, type SumAhead } from './sum-ahead.js';
import { type Agreement, synchronise } from './synchronise.js';
import { applyUpdate } from './update.js';

/** One open ring and what was agreed on it. */
interface Session {
  readonly host: Host;
  readonly active: ActiveView;
  readonly ring: Ring;
  readonly shares: readonly number[];
  readonly overlap: Overlap;
}

/** Trains until the run is complete or stopped and the coordinator has said goodbye. */
export async function train(host: Host): Promise<void> {
  try {
    await trainInViews(host);
  } finally {
    await host.nextRing.close();
  }
}

async function trainInViews(host: Host): Promise<void> {
  for (let active = await nextView(host); active; active = await nextView(host)) {
    let ring: Ring | undefined;
    try {
      ring = await enterView(active, host);
      const shares = active.view.members.map((member) => member.share);
      const overlap = new Overlap(host.run.ring, ring.size, host.compute.buckets.length);
      await trainInView({ host, active, ring, shares, overlap });
    } catch (error) {
      if (!isRecoverable(error)) throw error;
      host.recovery.start();
      host.reportRingFailure(active, error);
    } finally {
      host.ring = undefined;
      await ring?.close();
    }
  }
}

async function enterView(active: ActiveView, host: Host): Promise<Ring> {
  const { view, rank } = active;
  const members = view.members.map((member) => member.workerId);
  host.recorder.record({ kind: 'view', generation: view.generation, rank, members });
  host.recovery.done('viewMs');
  host.ring = recordRing(await host.nextRing.take(active), host.recorder, view);
  host.recovery.done('ringMs');
  return host.ring;
}

async function nextView(host: Host): Promise<ActiveView | undefined> {
  host.enter(host.finished ? 'finished' : 'waiting');
  host.follower?.release();
  return host.membership.next();
}

async function trainInView(session: Session): Promise<void> {
  // Where replicas differ, they are made alike first, on this same ring.
  for (let isDoubted = false; !(await trainWhileAlike(session, isDoubted)); isDoubted = true);
}

/** @returns false as soon as replicas differ, before anything is applied that was computed from different states. */
async function trainWhileAlike(session: Session, isDoubted: boolean): Promise<boolean> {
  const { host } = session;
  let { held } = await settle(session, isDoubted);
  // What is kept of an earlier view, in which this host was alone: a ring needs all of it in the sums.
  await host.compute.settle();
  if (!(await evaluateWhenDue(session))) return false;
  while (!host.isComplete()) {
    if (!(await trainStep(session, held))) return false;
    held = session.shares.map(() => NOTHING_HELD);
    if (!(await evaluateWhenDue(session))) return false;
    if (host.leaveIfDrained()) return true;
  }
  if (!(await areReplicasAlike(session))) return false;
  host.reportFinished();
  return true;
}

async function settle(session: Session, isDoubted: boolean): Promise<Agreement> {
  const { host, active, ring } = session;
  const { view, rank, signal } = active;
  const { run, network, keys, clock, timeoutMs } = host;
  const reach = (step: number, within: AbortSignal) => host.reachByFollowing(step, within);
  const context = { ring, view, rank, signal, run, network, keys, clock, timeoutMs, reach };
  for (;;) {
    host.enter('syncing');
    await host.holdState();
    await host.mendState();
    const outcome = await synchronise(context, host.state, host.record(isDoubted));
    if (outcome.type === 'agreed') {
      await host.adopt(outcome, active);
      host.recovery.done('syncMs');
      return outcome;
    }
    await host.startOver(outcome, active);
  }
}

/** Where no maxima are exchanged that would show it. */
async function areReplicasAlike({ host, ring }: Session): Promise<boolean> {
  const bytes = new Uint8Array(SPREAD_BYTES);
  spreadDigest(host.state.digest(), bytes);
  await ring.allReduceMax(bytes);
  return isUnanimous(bytes);
}

/** @returns false, and leaves the state as it was, when replicas differ. */
async function trainStep(session: Session, held: readonly ReadonlySet<number>[]): Promise<boolean> {
  const { host, active, ring, shares, overlap } = session;
  const { compute, state, progress } = host;
  const plan = planStep(host.batchPlan, state.step);
  const timer = startPhaseTimer(host.clock);
  const kept = plan.grains.filter((grain) => progress.outcomes.has(grain.index));

  quantaFor(state.exponents, plan.grains.length, compute.quanta, host.run.ring.wire);
  const mine = assignGrains(plan, shares, held)[active.rank];
  let ahead = sumAhead(session, mine, plan);
  await computeGrains(session, plan, mine, timer, ahead);
  host.recovery.done('grainsMs');
  const maxima = await exchangeMaxima(session, timer, ahead);
  if (!maxima.agreed) return false;
  refuseNonFinite(host, plan, maxima);
  if (maxima.overflow && !maxima.nonFinite) {
    // Some value did not fit the predicted quanta: all grains again, with the exponents just learnt.
    quantaFor(maxima.exponents, plan.grains.length, compute.quanta, host.run.ring.wire, true);
    progress.restart(1);
    ahead = undefined;
    await computeGrains(session, plan, [...kept, ...mine], timer);
    requireFit(host, plan);
  }
  host.enter('ring');
  const metrics = await timer.measure('ringMs', () =>
    reduceSums(ring, compute, progress.outcomes, plan.samples, ahead),
  );

  host.enter('optimizer');
  await timer.measure('optimizerMs', () => update(host, plan, maxima));
  const times = timer.times();
  overlap.learn(maxima, ahead ? undefined : times);
  host.completeStep(plan, { metrics, maxima, times, generation: active.view.generation });
  return true;
}

function sumAhead(session: Session, mine: readonly Grain[], plan: StepPlan): SumAhead | undefined {
  const { host, active, ring, overlap } = session;
  const { compute, state } = host;
  if (overlap.isOn(state.exponents)) return new BucketedSum(ring, compute, mine.length, plan.samples);
  return ring.size === 1 && compute.size > 1 ? new LoneSum(compute, plan.samples, active.signal) : undefined;
}

async function computeGrains(
  session: Session,
  plan: StepPlan,
  mine: readonly Grain[],
  timer: PhaseTimer,
  ahead?: SumAhead,
): Promise<void> {
  const { host } = session;
  const { compute, loader, progress, state } = host;
  const { signal } = session.active;
  host.enter('compute');
  const deal = new GrainDeal(mine, compute.size, () => prefetchNext(session, plan), signal);
  const load = (grain: Grain) => timer.measure('loadMs', () => loader.take(grain));
  const feed = (thread: number) =>
    feedThread(deal, thread, load, async ({ grain, isLast }, batch) => {
      const { weightsSha256 } = state;
      const place = { step: plan.step, grain: grain.index, grains: plan.grains.length, weightsSha256 };
      const how = isLast ? ahead?.ofLast : undefined;
      progress.outcomes.set(grain.index, await compute.addGrain(thread, place, batch, how));
      await host.fault.afterGrain();
    });
  // Who leaves for good does not wait for a grain that may take minutes.
  await timer.measure('computeMs', () => host.membership.orEnd(feedThreads(compute.size, feed)));
  signal.throwIfAborted();
}

function prefetchNext({ host, active, shares }: Session, plan: StepPlan): void {
  if (plan.step + 1 >= host.totalSteps) return;
  const next = planStep(host.batchPlan, plan.step + 1);
  const idle = shares.map(() => NOTHING_HELD);
  const ours = assignGrains(next, shares, idle)[active.rank];
  // Not at once: decoding takes this thread, and this step's grains must reach the compute threads first.
  setImmediate(() => host.loader.prefetch(ours));
}

async function exchangeMaxima(
  { host, ring, overlap }: Session,
  timer: PhaseTimer,
  ahead: SumAhead | undefined,
): Promise<StepMaxima> {
  host.enter('ring');
  if (ahead)
    await timer.measureRing(
      () => ring.waitedMs,
      () => ahead.done(),
    );
  const { compute, progress, stopRequested } = host;
  const notice = {
    outcomes: progress.outcomes,
    stop: stopRequested,
    overlap: overlap.isWanted,
    digest: host.state.digest(),
  };
  return timer.measure('waitMs', () => host.maxima.reduce(ring, compute, notice));
}

function refuseNonFinite(host: Host, plan: StepPlan, { nonFinite }: StepMaxima): void {
  if (!nonFinite || host.run.nonFinite === 'skip') return;
  const { parameter, grain } = nonFinite;
  throw new CoordError(
    'GRADIENT_NOT_FINITE',
    `gradient overflow at parameter ${parameter}, grain ${grain} of step ${plan.step}: a value is infinite or not a number`,
    {
      hint: 'Lower the learning rate, set regularization.clipGlobalNorm, check the data, or set `nonFinite: skip` to leave such steps out.',
      facts: { parameter, grain, step: plan.step, epoch: plan.epoch },
    },
  );
}

/** The learnt quanta fit by construction, so a misfit means that a grain had two different gradients. */
function requireFit({ progress, compute }: Host, plan: StepPlan): void {
  for (const [grain, { overflow }] of progress.outcomes) {
    if (!overflow) continue;
    throw new CoordError(
      'ENGINE_FAILED',
      `grain ${grain} of step ${plan.step} had another gradient when it was computed again`,
      {
        hint: `The engine (${compute.identity.engine}) must be deterministic; check the machine's memory and drivers.`,
        facts: { grain, step: plan.step },
      },
    );
  }
}

async function update(host: Host, plan: StepPlan, maxima: StepMaxima): Promise<void> {
  const sums = { step: plan.step, skipped: maxima.nonFinite !== undefined, exponents: maxima.exponents };
  host.stateServer.beforeUpdate(host.compute.mean, maxima.exponents);
  await applyUpdate(host, sums);
  host.fault.afterUpdate(host.state);
}

/** @returns false when replicas differ: what they would measure is worth nothing. */
async function evaluateWhenDue(session: Session): Promise<boolean> {
  const { host, active, ring, shares } = session;
  const { run, compute, testReader } = host;
  const epoch = host.epochToEvaluate();
  if (epoch === undefined || !testReader) return true;
  if (!(await areReplicasAlike(session))) return false;
  host.enter('evaluating');
  const startedMs = host.clock.nowMs();
  const { rank, signal } = active;
  const metrics = await host.membership.orEnd(evaluate({ run, ring, rank, shares, signal }, compute, testReader));
  host.completeEvaluation(epoch, metrics, host.clock.nowMs() - startedMs);
  return true;
}
