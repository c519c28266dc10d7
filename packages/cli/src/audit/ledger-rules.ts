/**
 * The rules that a ledger must keep, checked over its records alone. Pure.
 *
 * Steps: each is recorded once, in order, without a gap. A step that is computed again (after a resume, or when everybody who
 * held it was lost) is recorded again only when it came out differently, which engines of equal numeric identity cannot do.
 */
import type { LedgerEntryOf, LedgerRecord } from '@coord/coordinator';
import { identityText } from '@coord/protocol';
import { type Finding, finding } from './finding.js';

export interface LedgerSummary {
  /** The step that the ledger begins with: 0, unless it was moved aside and the run resumed without it. */
  readonly firstStep: number;
  /** The highest step on record. */
  readonly lastStep: number;
  /** Step → weights hash that stands at the end; step 0 is the beginning of the run. */
  readonly hashes: ReadonlyMap<number, string>;
  /** Step → ledger line of that hash. */
  readonly lines: ReadonlyMap<number, number>;
  /** Numeric identities of all workers that were ready. */
  readonly identities: readonly string[];
  readonly views: number;
  readonly rewinds: number;
  /** Steps that were completed, but whose workers were gone before their reports arrived: their hashes are unknown. */
  readonly unreported: ReadonlySet<number>;
  readonly findings: readonly Finding[];
}

interface Walk {
  firstStep: number;
  lastStep: number;
  generation: number;
  /** Steps up to `lastStep` may come again: the run was resumed or went back since it was there. */
  mayRepeat: boolean;
  views: number;
  rewinds: number;
  readonly unreported: Set<number>;
  readonly hashes: Map<number, string>;
  readonly lines: Map<number, number>;
  readonly identities: Set<string>;
  readonly findings: Finding[];
}

export function summariseLedger(records: readonly LedgerRecord[]): LedgerSummary {
  const walk: Walk = {
    firstStep: 0,
    lastStep: 0,
    generation: 0,
    mayRepeat: false,
    views: 0,
    rewinds: 0,
    unreported: new Set(),
    hashes: new Map(),
    lines: new Map(),
    identities: new Set(),
    findings: [],
  };
  for (const record of records) visit(walk, record);
  return { ...walk, identities: [...walk.identities] };
}

function visit(walk: Walk, { seq, entry }: LedgerRecord): void {
  switch (entry.type) {
    case 'run-started':
      visitStart(walk, seq, entry);
      break;
    case 'worker-ready':
      walk.identities.add(identityText(entry.identity));
      break;
    case 'view':
      visitView(walk, seq, entry);
      break;
    case 'rewound':
      walk.rewinds++;
      walk.mayRepeat = true;
      break;
    case 'unreported':
      visitUnreported(walk, seq, entry);
      break;
    case 'step':
      visitStep(walk, seq, entry);
      break;
    case 'evaluation':
      requireKnown(walk, seq, 'evaluation', entry.step);
      break;
    case 'checkpoint':
    case 'finished':
      requireEqual(walk, seq, entry.type, entry);
      break;
    default:
      break;
  }
}

function visitStart(walk: Walk, line: number, entry: LedgerEntryOf<'run-started'>): void {
  walk.mayRepeat = true;
  if (walk.hashes.size === 0) begin(walk, line, entry);
  else requireEqual(walk, line, 'start', entry);
}

function begin(walk: Walk, line: number, entry: LedgerEntryOf<'run-started'>): void {
  remember(walk, line, entry);
  walk.firstStep = entry.step;
  if (entry.step === 0) return;
  const message = `the ledger begins with step ${entry.step}: nothing proves the steps before`;
  walk.findings.push(finding('step-missing', line, message));
}

function visitView(walk: Walk, line: number, { generation }: LedgerEntryOf<'view'>): void {
  walk.views++;
  if (generation <= walk.generation) {
    const message = `generation ${generation} was formed after generation ${walk.generation}`;
    walk.findings.push(finding('generation', line, message));
  }
  walk.generation = Math.max(walk.generation, generation);
}

function visitStep(walk: Walk, line: number, entry: LedgerEntryOf<'step'>): void {
  const { step, generation, weightsSha256 } = entry;
  if (generation > walk.generation) {
    const message = `step ${step} was made in generation ${generation}, which no view on record has`;
    walk.findings.push(finding('generation', line, message));
  }
  if (step > walk.lastStep) {
    requireNoGap(walk, line, step);
    walk.mayRepeat = false;
  } else judgeRepeat(walk, line, step, weightsSha256);
  remember(walk, line, entry);
}

function visitUnreported(walk: Walk, line: number, { firstStep, lastStep }: LedgerEntryOf<'unreported'>): void {
  if (firstStep > walk.lastStep) requireNoGap(walk, line, firstStep);
  for (let step = firstStep; step <= lastStep; step++) walk.unreported.add(step);
  walk.lastStep = Math.max(walk.lastStep, lastStep);
}

function requireNoGap(walk: Walk, line: number, step: number): void {
  const missing = step - walk.lastStep - 1;
  if (missing === 0) return;
  const names = missing === 1 ? `step ${step - 1} is` : `steps ${walk.lastStep + 1} to ${step - 1} are`;
  walk.findings.push(finding('step-missing', line, `${names} not on record before step ${step}`));
}

function judgeRepeat(walk: Walk, line: number, step: number, weightsSha256: string): void {
  const before = walk.lines.get(step);
  const where = before === undefined ? '' : ` (first in line ${before})`;
  if (!walk.mayRepeat || walk.hashes.get(step) === weightsSha256) {
    walk.findings.push(finding('step-doubled', line, `step ${step} is on record twice${where}`));
  } else if (walk.identities.size <= 1) {
    const message = `step ${step} was computed again on equal engines and came to other weights${where}`;
    walk.findings.push(finding('hash', line, message));
  }
}

function requireKnown(walk: Walk, line: number, what: string, step: number): void {
  if (walk.hashes.has(step) || walk.unreported.has(step)) return;
  walk.findings.push(finding('step-missing', line, `the ${what} is of step ${step}, which is not on record before it`));
}

function requireEqual(walk: Walk, line: number, what: string, at: { step: number; weightsSha256: string }): void {
  requireKnown(walk, line, what, at.step);
  const known = walk.hashes.get(at.step);
  if (known === undefined || known === at.weightsSha256) return;
  const message = `the ${what} of step ${at.step} has weights ${short(at.weightsSha256)}, the step itself ${short(known)}`;
  walk.findings.push(finding('hash', line, message));
}

function remember(walk: Walk, line: number, { step, weightsSha256 }: { step: number; weightsSha256: string }): void {
  walk.lastStep = Math.max(walk.lastStep, step);
  walk.hashes.set(step, weightsSha256);
  walk.lines.set(step, line);
}

export const short = (sha256: string): string => `${sha256.slice(0, 12)}…`;
