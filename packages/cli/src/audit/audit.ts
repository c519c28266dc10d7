/** The audit of one run: its ledger against its configuration, its checkpoints, and one step executed again. */
import { join } from 'node:path';
import { LEDGER_FILE, type LedgerRecord, readLedger } from '@coord/coordinator';
import { CoordError, hashWeights, type TrainingState } from '@coord/protocol';
import { type PreparedRun, toRunSpec } from '../config/run-spec.js';
import { createInitialState } from '../initial-state.js';
import { readRunRecord } from '../run-directory.js';
import { checkCheckpoints, stateOf } from './checkpoint-rules.js';
import { executeSteps } from './execute.js';
import { type Finding, finding } from './finding.js';
import { type LedgerSummary, short, summariseLedger } from './ledger-rules.js';
import { checkEnd, checkEpochs, checkStepSamples } from './order-rules.js';

export interface AuditReport {
  readonly runId: string;
  readonly configSha256: string;
  /** Lines of the ledger, each of which follows from the one before. */
  readonly lines: number;
  readonly steps: number;
  readonly epochs: number;
  readonly samples: number;
  readonly views: number;
  readonly rewinds: number;
  /** Steps that were completed and that nobody lived to report. */
  readonly unreported: number;
  /** Steps of checkpoints that are intact and agree with the ledger. */
  readonly checkpoints: readonly number[];
  readonly execution: ExecutionReport | undefined;
  readonly findings: readonly Finding[];
}

export interface ExecutionReport {
  /** The state that was begun from, and the last step that was executed. */
  readonly fromStep: number;
  readonly step: number;
  readonly identity: string;
  /** `unlike`: other weights, on an engine of another numeric identity than the run's, which proves nothing. */
  readonly outcome: 'equal' | 'different' | 'unlike';
}

/**
 * @param execute step to execute again; left out: the step after the newest checkpoint that has one on record.
 * @throws CoordError LEDGER_CORRUPT (naming the line), CHECKPOINT_NOT_FOUND (no run), USAGE (no such step), DATASET_*, ENGINE_*.
 */
export async function auditRun(runDir: string, execute: number | undefined): Promise<AuditReport> {
  const record = await readRunRecord(runDir);
  const records = await readLedger(join(runDir, LEDGER_FILE));
  if (records.length === 0) throw noLedger(runDir);
  const ledger = summariseLedger(records);
  const prepared = await toRunSpec(record.config, record);
  const { spec } = prepared;
  const checkpoints = await checkCheckpoints(runDir, spec, ledger);
  const epochs = checkEpochs(
    spec,
    [ledger.firstStep, ledger.lastStep],
    (step) => ledger.hashes.has(step) || ledger.unreported.has(step),
  );
  const beginning = createInitialState(prepared);
  const executed = await executeOne({ runDir, prepared, ledger, checkpoints: checkpoints.steps, beginning }, execute);
  const findings = [
    ...checkConfiguration(records, spec.configSha256),
    ...ledger.findings,
    ...checkStepSamples(records, spec),
    ...checkEnd(records, spec),
    ...epochs.findings,
    ...checkBeginning(ledger, beginning),
    ...checkpoints.findings,
    ...(executed?.findings ?? []),
  ];
  return {
    runId: spec.runId,
    configSha256: spec.configSha256,
    lines: records.length,
    steps: ledger.lastStep,
    epochs: epochs.epochs,
    samples: epochs.samples,
    views: ledger.views,
    rewinds: ledger.rewinds,
    unreported: ledger.unreported.size,
    checkpoints: checkpoints.steps,
    execution: executed?.report,
    findings,
  };
}

function checkConfiguration(records: readonly LedgerRecord[], configSha256: string): Finding[] {
  return records.flatMap(({ seq, entry }) => {
    if (entry.type !== 'run-started' || entry.configSha256 === configSha256) return [];
    const message = `the ledger is of configuration ${short(entry.configSha256)}, the run directory holds ${short(configSha256)}`;
    return [finding('configuration', seq, message)];
  });
}

function checkBeginning({ hashes, lines }: LedgerSummary, { layout, weights }: TrainingState): Finding[] {
  const known = hashes.get(0);
  const sha256 = hashWeights(layout, weights);
  if (known === undefined || known === sha256) return [];
  const message = `the run began with weights ${short(known)}; its seed and model give ${short(sha256)}`;
  return [finding('hash', lines.get(0), message)];
}

interface ExecutionContext {
  readonly runDir: string;
  readonly prepared: PreparedRun;
  readonly ledger: LedgerSummary;
  readonly checkpoints: readonly number[];
  readonly beginning: TrainingState;
}

async function executeOne(
  context: ExecutionContext,
  wanted: number | undefined,
): Promise<{ report: ExecutionReport; findings: Finding[] } | undefined> {
  const { ledger, prepared, runDir, beginning } = context;
  const starts = [...(ledger.hashes.has(0) ? [0] : []), ...context.checkpoints];
  const step = wanted ?? sampledStep(starts, ledger);
  if (step === undefined) return undefined;
  const fromStep = starts.filter((start) => start < step).at(-1);
  if (fromStep === undefined || !ledger.hashes.has(step)) throw noSuchStep(step, ledger.lastStep);
  const state = (await stateOf(runDir, fromStep)) ?? beginning;
  const { identity, hashes } = await executeSteps(prepared.spec, prepared.dataset, copyOf(state), step);
  const wrong = [...hashes].find(([at, sha256]) => (ledger.hashes.get(at) ?? sha256) !== sha256);
  const isLikeRun = ledger.identities.length === 1 && ledger.identities[0] === identity;
  const outcome = !wrong ? 'equal' : isLikeRun ? 'different' : 'unlike';
  const findings = wrong && isLikeRun ? [differs(ledger, fromStep, wrong)] : [];
  return { report: { fromStep, step, identity, outcome }, findings };
}

/** The step after the newest state that has one. */
const sampledStep = (starts: readonly number[], { hashes }: LedgerSummary): number | undefined => {
  const start = starts.findLast((at) => hashes.has(at + 1));
  return start === undefined ? undefined : start + 1;
};

const copyOf = (state: TrainingState): TrainingState => ({ ...state, weights: state.weights.slice() });

function differs(ledger: LedgerSummary, fromStep: number, [step, sha256]: readonly [number, string]): Finding {
  const known = ledger.hashes.get(step);
  const message = `step ${step}, executed again from step ${fromStep}, came to ${short(sha256)}, the ledger says ${known ? short(known) : 'nothing'}`;
  return finding('execution', ledger.lines.get(step), message);
}

const noLedger = (runDir: string): CoordError =>
  new CoordError('CHECKPOINT_NOT_FOUND', `${runDir} has no ${LEDGER_FILE}, or an empty one`, {
    hint: 'Only a run that `coord start` has led can be audited.',
    facts: { runDir },
  });

const noSuchStep = (step: number, lastStep: number): CoordError =>
  new CoordError('USAGE', `step ${step} cannot be executed again: the ledger has steps 1 to ${lastStep}`, {
    hint: 'Give a step that is on record.',
    facts: { step, lastStep },
  });
