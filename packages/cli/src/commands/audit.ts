import { CoordError, EXIT_CODE } from '@coord/protocol';
import { type AuditReport, auditRun } from '../audit/audit.js';
import { describeFinding, formatAudit } from '../audit/view.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { AuditOptions } from '../options.js';

/** @throws CoordError AUDIT_FAILED when something was found; LEDGER_CORRUPT when the chain is broken. */
export async function runAudit(runDir: string, options: AuditOptions, io: CommandIo): Promise<number> {
  const report = await auditRun(runDir, options.execute);
  if (options.json) writeJson(io.stdout, { event: 'audited', clean: report.findings.length === 0, ...report });
  else writeLine(io.stdout, formatAudit(report));
  if (report.findings.length > 0) throw auditFailed(runDir, report);
  return EXIT_CODE.ok;
}

function auditFailed(runDir: string, { findings }: AuditReport): CoordError {
  const [first] = findings;
  const more = findings.length > 1 ? `, and ${findings.length - 1} more` : '';
  return new CoordError('AUDIT_FAILED', `the audit of ${runDir} failed: ${describeFinding(first)}${more}`, {
    hint: 'docs/diagnose.md says what each kind of finding means.',
    facts: { runDir, kind: first.kind, line: first.line, findings: findings.length },
  });
}
