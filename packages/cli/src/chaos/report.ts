/** What a chaos run came to. Pure. */
import type { AuditReport } from '../audit/audit.js';
import { describeFinding } from '../audit/view.js';
import { median } from '../bench/statistics.js';
import { formatDuration, formatPercent, formatRate, formatTable, plural } from '../view/format.js';
import type { StrangeEnd } from './cluster.js';
import type { Injected } from './inject.js';
import type { Growth } from './resources.js';
import { FAULT_KINDS, type Fault, type FaultKind } from './schedule.js';

export interface KindReport {
  readonly kind: FaultKind;
  readonly count: number;
  /** Longest pause between two completed steps while each fault lasted and shortly after, in ms. */
  readonly pauseMedianMs: number;
  readonly pauseMaxMs: number;
}

export interface Throughput {
  readonly stepsPerSecondBefore: number;
  readonly stepsPerSecondAfter: number;
  /** While all were there and nothing was wrong, between the faults; undefined where there was no such time. */
  readonly stepsPerSecondBetween: number | undefined;
  readonly calmSeconds: number;
  readonly stepsPerSecondDisturbed: number;
  /** Mean share of the workers that were there. */
  readonly capacity: number;
  /** Disturbed ÷ undisturbed. */
  readonly kept: number;
  /** The same, the lost workers' capacity counted out. */
  readonly keptOfCapacity: number;
}

export interface ChaosReport {
  readonly ok: boolean;
  readonly seed: number;
  readonly workers: number;
  readonly network: 'namespaces' | 'proxy';
  readonly steps: number;
  readonly seconds: number;
  readonly weightsSha256: string;
  /** Of an undisturbed run on one worker, after the same step. */
  readonly referenceSha256: string;
  readonly equal: boolean;
  readonly audit: AuditReport;
  readonly faults: number;
  readonly kinds: readonly KindReport[];
  /** Faults that the run did not live to see. */
  readonly missed: readonly Fault[];
  /** Processes that ended though nobody had asked them to; they were started again. */
  readonly strangeEnds: readonly StrangeEnd[];
  readonly throughput: Throughput | undefined;
  readonly growth: readonly Growth[] | undefined;
  /** Processes that were watched. */
  readonly lives: number | undefined;
}

export function kindReports(
  injected: readonly Injected[],
  pauseMs: (fromMs: number, toMs: number) => number,
): KindReport[] {
  return FAULT_KINDS.flatMap((kind) => {
    const pauses = injected
      .filter(({ fault }) => fault.kind === kind)
      .map(({ startMs, endMs }) => pauseMs(startMs, endMs));
    if (pauses.length === 0) return [];
    return [{ kind, count: pauses.length, pauseMedianMs: median(pauses), pauseMaxMs: Math.max(...pauses) }];
  });
}

const row = (label: string, value: string): string => `${label.padEnd(12)} ${value}`;

export function formatReport(report: ChaosReport): string {
  const { audit, throughput, growth, missed, strangeEnds } = report;
  return [
    row('run', `${plural(report.workers, 'worker')}, seed ${report.seed}, network of ${report.network}`),
    row(
      'steps',
      `${plural(report.steps, 'step')} in ${formatDuration(report.seconds)}, ${plural(report.faults, 'fault')}`,
    ),
    '',
    formatTable(
      ['fault', 'times', 'pause median', 'pause max'],
      report.kinds.map(({ kind, count, pauseMedianMs, pauseMaxMs }) => [
        kind,
        String(count),
        `${Math.round(pauseMedianMs)} ms`,
        `${Math.round(pauseMaxMs)} ms`,
      ]),
    ),
    '',
    row('weights', `${report.weightsSha256}`),
    row('undisturbed', `${report.referenceSha256}  ${report.equal ? 'the same bits' : 'OTHER WEIGHTS'}`),
    row('audit', describeAudit(audit)),
    ...audit.findings.map((finding) => row('', describeFinding(finding))),
    ...missed.map((fault) => row('missed', `${fault.kind}: the run ended before`)),
    ...strangeEnds.map((end) => row('ended', describeEnd(end))),
    ...(throughput ? describeThroughput(throughput) : []),
    ...(growth ? describeGrowth(growth, report.lives ?? 0) : []),
    row('result', report.ok ? 'ok' : 'FAILED'),
  ].join('\n');
}

function describeAudit({ findings, views, rewinds, unreported, execution }: AuditReport): string {
  const counts = `${plural(views, 'view')}, ${plural(rewinds, 'rewind')}, ${unreported} unreported`;
  const executed = execution ? `, step ${execution.step} executed again: ${execution.outcome}` : '';
  return `${findings.length === 0 ? 'clean' : plural(findings.length, 'finding')} (${counts}${executed})`;
}

const describeEnd = ({ who, atMs, code, signal, error }: StrangeEnd): string =>
  `${who} by itself at ${(atMs / 1000).toFixed(1)} s (${signal ?? `status ${code}`})${error ? `: ${error}` : ''}`;

/** Undisturbed rates of one run that differ by more say that the machine itself has changed. */
const STEADY_WITHIN = 0.03;

/** Largest difference of the undisturbed rates, as a share of the largest. */
export function driftOf({ stepsPerSecondBefore, stepsPerSecondAfter, stepsPerSecondBetween }: Throughput): number {
  const rates = [stepsPerSecondBefore, stepsPerSecondAfter, stepsPerSecondBetween ?? stepsPerSecondBefore];
  return 1 - Math.min(...rates) / Math.max(...rates);
}

function describeThroughput(of: Throughput): string[] {
  const { stepsPerSecondBefore, stepsPerSecondAfter, stepsPerSecondBetween, calmSeconds } = of;
  const { stepsPerSecondDisturbed, capacity, kept, keptOfCapacity } = of;
  const between =
    stepsPerSecondBetween === undefined
      ? ''
      : `, ${formatRate(stepsPerSecondBetween)} in ${formatDuration(calmSeconds)} between faults`;
  const undisturbed = `${formatRate(stepsPerSecondBefore)} before, ${formatRate(stepsPerSecondAfter)} after${between}`;
  const drift = driftOf(of);
  return [
    row('steps/s', `${formatRate(stepsPerSecondDisturbed)} disturbed; undisturbed ${undisturbed}`),
    row(
      'kept',
      `${formatPercent(kept)} of the undisturbed throughput; the workers were there ${formatPercent(capacity)} of the time`,
    ),
    row('', `${formatPercent(keptOfCapacity)} with the lost workers' capacity counted out`),
    ...(drift > STEADY_WITHIN
      ? [row('', `the undisturbed rates differ by ${formatPercent(drift)}: the machine was not its own; measure again`)]
      : []),
  ];
}

const UNIT_BYTES = 1024 * 1024;

function describeGrowth(growth: readonly Growth[], lives: number): string[] {
  const shown = (quantity: string, value: number): string =>
    quantity.endsWith('Bytes') ? `${(value / UNIT_BYTES).toFixed(1)} MB` : String(Math.round(value));
  const rows = growth.map(({ who, pid, quantity, before, after, grows }) => [
    who,
    String(pid),
    quantity,
    shown(quantity, before),
    shown(quantity, after),
    grows ? 'GROWS' : '',
  ]);
  return [
    '',
    `${lives} processes watched; those that lived for a minute and more:`,
    formatTable(['process', 'pid', 'what', 'middle', 'end', ''], rows),
    '',
  ];
}
