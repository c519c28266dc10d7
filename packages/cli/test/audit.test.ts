/** Audits of a real run, and of what somebody may do to its record. Needs the built package. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LedgerRecord } from '@coord/coordinator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRun } from '../src/audit/audit.js';
import { runAudit } from '../src/commands/audit.js';
import type { CommandIo } from '../src/io.js';
import { writeTimeline } from '../src/timeline/write.js';

const BIN = fileURLToPath(new URL('../bin/coord.js', import.meta.url));
const CONFIG = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));
const STEPS = 12;
/** No checkpoint is of this step, nor of one before: the first is asked for at step 4, and a busy machine delivers a later one. */
const PLAIN = 3;

let directory = '';
let original = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coord-audit-'));
  original = join(directory, 'original');
  const settings = [
    `maxSteps=${STEPS}`,
    'data.samples=400',
    'checkpoint.everySteps=4',
    'checkpoint.everyEpochs=0',
  ].flatMap((setting) => ['--set', setting]);
  const where = ['--workers', '2', '--listen', '127.0.0.1:0', '--run-dir', original];
  await promisify(execFile)(process.execPath, [BIN, 'start', CONFIG, ...settings, ...where], { cwd: directory });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const ledgerOf = (run: string) => join(run, 'ledger.jsonl');

async function readRecords(run: string): Promise<LedgerRecord[]> {
  const lines = (await readFile(ledgerOf(run), 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line).record);
}

/** Writes the records with a sound chain, as a forger who knows the format would. */
async function forge(run: string, records: readonly LedgerRecord[]): Promise<void> {
  let sha256 = '0'.repeat(64);
  const lines = records.map((record, index) => {
    const text = JSON.stringify({ ...record, seq: index + 1 });
    sha256 = createHash('sha256').update(`${sha256}\n${text}`).digest('hex');
    return `{"sha256":"${sha256}","record":${text}}\n`;
  });
  await writeFile(ledgerOf(run), lines.join(''));
}

let copies = 0;
async function copyRun(): Promise<string> {
  const run = join(directory, `copy-${copies++}`);
  await cp(original, run, { recursive: true });
  return run;
}

async function forged(change: (records: LedgerRecord[]) => LedgerRecord[]): Promise<string> {
  const run = await copyRun();
  await forge(run, change(await readRecords(run)));
  return run;
}

const IDENTITY = { engine: 'ort', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };

const isStep = (record: LedgerRecord, step: number): boolean =>
  record.entry.type === 'step' && record.entry.step === step;

const edited = (step: number, change: object) => (records: LedgerRecord[]) =>
  records.map((record) => (isStep(record, step) ? { ...record, entry: { ...record.entry, ...change } } : record));

const kindsOf = async (run: string, execute?: number) =>
  (await auditRun(run, execute)).findings.map(({ kind }) => kind);

describe('an audit', () => {
  it('of a sound run is clean, and executes the step after the newest checkpoint to the same bits', async () => {
    const report = await auditRun(original, undefined);
    expect(report).toMatchObject({ steps: STEPS, findings: [], execution: { outcome: 'equal' } });
    // A fast run may be past a step before its checkpoint was asked for; the last one is never left out.
    expect(report.checkpoints.at(-1)).toBe(STEPS);
    const start = report.checkpoints.filter((step) => step < STEPS).at(-1) ?? 0;
    expect(report.execution).toMatchObject({ fromStep: start, step: start + 1 });
  });

  it('executes any step, from the initial weights where there is no checkpoint before it', async () => {
    const { execution } = await auditRun(original, 2);
    expect(execution).toMatchObject({ fromStep: 0, step: 2, outcome: 'equal' });
  });

  it('refuses to execute a step that is not on record', async () => {
    await expect(auditRun(original, STEPS + 1)).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('names the line of an edited ledger whose chain is broken', async () => {
    const run = await copyRun();
    const text = await readFile(ledgerOf(run), 'utf8');
    const line = (await readRecords(run)).findIndex((record) => isStep(record, 3)) + 1;
    await writeFile(ledgerOf(run), text.replace('"step":3,', '"step":4,'));
    await expect(auditRun(run, undefined)).rejects.toMatchObject({ code: 'LEDGER_CORRUPT', facts: { line } });
  });

  it('is strict where a timeline draws what can be read, and says what was left out', async () => {
    const run = await copyRun();
    const text = await readFile(ledgerOf(run), 'utf8');
    const line = (await readRecords(run)).findIndex((record) => isStep(record, 3)) + 1;
    await writeFile(ledgerOf(run), text.replace('"step":3,', '"step":4,'));
    await writeFile(join(run, 'logs', 'flight-torn.jsonl'), '{"kind":');
    const { events, leftOut } = await writeTimeline(run, join(run, 'timeline.json'));
    expect(leftOut).toEqual([
      expect.stringMatching(new RegExp(`^line ${line} of the ledger .* is damaged: its hash does not follow`)),
      expect.stringMatching(/flight-torn.jsonl is no flight record: line 1/),
    ]);
    const whole = await writeTimeline(original, join(run, 'whole.json'));
    expect(whole.leftOut).toEqual([]);
    expect(events).toBe(whole.events - 1);
    await expect(auditRun(run, undefined)).rejects.toMatchObject({ code: 'LEDGER_CORRUPT' });
  });

  it('names the line after a line that was cut out', async () => {
    const run = await copyRun();
    const lines = (await readFile(ledgerOf(run), 'utf8')).split('\n');
    await writeFile(ledgerOf(run), lines.filter((_, index) => index !== 6).join('\n'));
    await expect(auditRun(run, undefined)).rejects.toMatchObject({ code: 'LEDGER_CORRUPT', facts: { line: 7 } });
  });
});

describe('an audit of a ledger whose chain was forged anew finds', () => {
  it('that it begins in mid-run, once, and nothing else wrong with what it has', async () => {
    const run = await forged((records) => {
      const at = records.findIndex((record) => isStep(record, PLAIN));
      const [start] = records.filter(({ entry }) => entry.type === 'run-started');
      const { weightsSha256 } = records[at].entry as { weightsSha256: string };
      const views = records.filter(({ entry }, index) => entry.type === 'view' && index < at);
      const begin = { ...start, entry: { ...start.entry, step: PLAIN, weightsSha256 } } as LedgerRecord;
      return [begin, ...views, ...records.slice(at + 1)];
    });
    const { findings } = await auditRun(run, undefined);
    expect(findings.map(({ kind, line }) => [kind, line])).toEqual([['step-missing', 1]]);
  });

  it('a removed step', async () => {
    const run = await forged((records) => records.filter((record) => !isStep(record, PLAIN)));
    expect(await kindsOf(run)).toEqual(['step-missing', 'epoch']);
  });

  it('nothing wrong in a step that its ledger says nobody lived to report: executing it shows what it was', async () => {
    const time = new Date(0).toISOString();
    const run = await forged((records) =>
      records.map((record) =>
        isStep(record, PLAIN)
          ? { seq: 0, time, entry: { type: 'unreported', firstStep: PLAIN, lastStep: PLAIN } }
          : record,
      ),
    );
    const report = await auditRun(run, PLAIN + 1);
    expect(report).toMatchObject({ unreported: 1, findings: [], execution: { step: PLAIN + 1, outcome: 'equal' } });
  });

  it('a step that came again, otherwise on mixed engines, though the run had not gone back', async () => {
    const withOneAgain = (between: readonly LedgerRecord['entry'][]) => (records: LedgerRecord[]) => {
      const at = records.findIndex((record) => isStep(record, PLAIN));
      const [before] = records.filter((record) => isStep(record, PLAIN - 1));
      const ready = records.find(({ entry }) => entry.type === 'worker-ready') as LedgerRecord;
      const other = edited(PLAIN - 1, { weightsSha256: 'f'.repeat(64) })([before]);
      const mixed = { ...ready, entry: { ...ready.entry, identity: { ...IDENTITY, engine: 'other' } } } as LedgerRecord;
      const gone = between.map((entry) => ({ ...before, entry }));
      return [...records.slice(0, at), mixed, ...gone, ...other, ...records.slice(at)];
    };
    expect(await kindsOf(await forged(withOneAgain([])))).toEqual(['step-doubled']);
    const rewound = { type: 'rewound', step: PLAIN - 2, reason: 'everybody who held more was lost' } as const;
    expect(await kindsOf(await forged(withOneAgain([rewound])))).toEqual([]);
  });

  it('a doubled step', async () => {
    const run = await forged((records) =>
      records.flatMap((record) => (isStep(record, PLAIN) ? [record, record] : [record])),
    );
    expect(await kindsOf(run)).toEqual(['step-doubled']);
  });

  it('a step that consumed other samples than its own', async () => {
    expect(await kindsOf(await forged(edited(PLAIN, { samples: 1 })))).toEqual(['samples']);
  });

  it('other weights at a checkpoint', async () => {
    const run = await forged(edited(STEPS, { weightsSha256: 'a'.repeat(64) }));
    expect(new Set(await kindsOf(run, 1))).toEqual(new Set(['hash', 'checkpoint']));
  });

  it.each([
    ['a weight that has changed', (path: string) => appendFile(join(path, 'weights.safetensors'), 'x')],
    ['a file cut off', (path: string) => truncate(join(path, 'optimizer.safetensors'), 100)],
    ['no manifest', (path: string) => rm(join(path, 'manifest.json'))],
    ['a manifest that is none', (path: string) => writeFile(join(path, 'manifest.json'), '{')],
  ])('a checkpoint with %s', async (_, damage) => {
    const run = await copyRun();
    const [newest] = (await readdir(join(run, 'checkpoints'))).sort().reverse();
    const path = join(run, 'checkpoints', newest);
    await damage(path);
    const { findings, checkpoints } = await auditRun(run, 1);
    expect(findings).toMatchObject([{ kind: 'checkpoint', message: expect.stringContaining(path) }]);
    expect(checkpoints).not.toContain(STEPS);
  });

  it('other weights at any step, by executing it again', async () => {
    const run = await forged(edited(PLAIN, { weightsSha256: 'a'.repeat(64) }));
    expect(await kindsOf(run, PLAIN)).toEqual(['execution']);
  });

  it('other weights at the beginning', async () => {
    const run = await forged((records) =>
      records.map((record) =>
        record.entry.type === 'run-started'
          ? { ...record, entry: { ...record.entry, weightsSha256: 'a'.repeat(64) } }
          : record,
      ),
    );
    expect(await kindsOf(run)).toEqual(['hash']);
  });

  it('a generation that does not grow', async () => {
    const run = await forged((records) =>
      records.flatMap((record) => (record.entry.type === 'view' ? [record, record] : [record])),
    );
    expect(await kindsOf(run)).toEqual(['generation']);
  });

  it('another configuration than that of the run directory', async () => {
    const run = await copyRun();
    const file = join(run, 'config.json');
    const record = JSON.parse(await readFile(file, 'utf8'));
    record.config.nonFinite = record.config.nonFinite === 'skip' ? 'error' : 'skip';
    await writeFile(file, JSON.stringify(record));
    expect(await kindsOf(run)).toContain('configuration');
  });
});

describe('coord audit', () => {
  const outputs: string[] = [];
  const io: CommandIo = {
    stdout: { write: (text) => outputs.push(text) },
    stderr: { write: () => true },
    env: {},
    onInterrupt: () => () => {},
    exit() {},
  };

  it('ends with AUDIT_FAILED, which names the first finding and its line', async () => {
    const run = await forged((records) => records.filter((record) => !isStep(record, PLAIN)));
    const failed = runAudit(run, { json: true }, io);
    await expect(failed).rejects.toMatchObject({ code: 'AUDIT_FAILED', facts: { kind: 'step-missing', findings: 2 } });
    expect(JSON.parse(outputs.at(-1) as string)).toMatchObject({ event: 'audited', clean: false });
  });
});
