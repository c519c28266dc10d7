/** The audit's report for people. Pure. */
import { formatCount, plural } from '../view/format.js';
import type { AuditReport, ExecutionReport } from './audit.js';
import type { Finding } from './finding.js';

const row = (label: string, value: string): string => `${label.padEnd(12)} ${value}`;

export function formatAudit(report: AuditReport): string {
  const { findings, checkpoints, execution } = report;
  return [
    row('run', `${report.runId}, configuration ${report.configSha256}`),
    row('ledger', `${plural(report.lines, 'line')}, each chained to the one before`),
    row(
      'steps',
      `${formatCount(report.steps)} on record, ${plural(report.views, 'view')}, ${plural(report.rewinds, 'rewind')}`,
    ),
    row('samples', `${formatCount(report.samples)} consumed in ${plural(report.epochs, 'epoch')}`),
    row('checkpoints', checkpoints.length === 0 ? 'none' : `intact and as recorded: steps ${checkpoints.join(', ')}`),
    row('executed', execution ? describeExecution(execution) : 'nothing: no recorded step has a state before it'),
    row('result', findings.length === 0 ? 'clean' : plural(findings.length, 'finding')),
    ...findings.map((one) => row('', describeFinding(one))),
  ].join('\n');
}

function describeExecution({ fromStep, step, identity, outcome }: ExecutionReport): string {
  const what = `from step ${formatCount(fromStep)} to step ${formatCount(step)} on ${identity}`;
  if (outcome === 'equal') return `${what}: the same bits`;
  if (outcome === 'different') return `${what}: OTHER WEIGHTS`;
  return `${what}: other weights, but the run was computed on another engine, so this proves nothing`;
}

export const describeFinding = ({ kind, line, message }: Finding): string =>
  `${kind}: ${message}${line === undefined ? '' : ` (line ${line})`}`;
