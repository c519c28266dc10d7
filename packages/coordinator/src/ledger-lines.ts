/**
 * Ledger lines: one JSON object a line, each chained to the line before by SHA-256 over the bytes as they stand, so that
 * nothing can be changed, removed or put in between unnoticed.
 *
 *   {"sha256":"<hash>","record":{"seq":…,"time":…,"entry":{…}}}\n      hash = SHA-256(hash of the line before, "\n", record's text)
 */
import { createHash } from 'node:crypto';
import { CoordError } from '@coord/protocol';
import { type LedgerRecord, ledgerRecordSchema } from './ledger-entries.js';

/** Stands for the line before the first. */
export const CHAIN_START = '0'.repeat(64);

const LINE = /^\{"sha256":"([0-9a-f]{64})","record":(.*)\}$/s;
const NEWLINE = 0x0a;

const chain = (previous: string, text: string): string =>
  createHash('sha256').update(`${previous}\n${text}`).digest('hex');

export interface ChainedLine {
  readonly line: string;
  readonly sha256: string;
}

export function formatLine(previous: string, record: LedgerRecord): ChainedLine {
  const text = JSON.stringify(record);
  const sha256 = chain(previous, text);
  return { line: `{"sha256":"${sha256}","record":${text}}\n`, sha256 };
}

export interface ParsedLedger {
  readonly records: readonly LedgerRecord[];
  /** Hash of the last whole line. */
  readonly head: string;
  /** Bytes of the whole lines; what follows is a torn write. */
  readonly wholeBytes: number;
}

/**
 * A line without its newline was torn by a crash in mid-write: it is left out. Whole lines must be right.
 *
 * @throws CoordError LEDGER_CORRUPT naming file and line.
 */
export function parseLedger(file: string, bytes: Buffer): ParsedLedger {
  const wholeBytes = bytes.lastIndexOf(NEWLINE) + 1;
  const records: LedgerRecord[] = [];
  let head = CHAIN_START;
  // Line by line: a ledger may be longer than a string.
  for (let at = 0; at < wholeBytes; ) {
    const end = bytes.indexOf(NEWLINE, at);
    const parsed = parseLine(file, records.length + 1, bytes.toString('utf8', at, end), head);
    records.push(parsed.record);
    head = parsed.sha256;
    at = end + 1;
  }
  return { records, head, wholeBytes };
}

function parseLine(file: string, number: number, line: string, previous: string) {
  const match = LINE.exec(line);
  if (!match) throw corrupt(file, number, 'it is no ledger line');
  const [, sha256, text] = match;
  if (chain(previous, text) !== sha256) throw corrupt(file, number, 'its hash does not follow from the line before');
  const result = ledgerRecordSchema.safeParse(JSON.parse(text));
  if (!result.success) throw corrupt(file, number, `wrong at ${result.error.issues[0].path.join('.')}`);
  if (result.data.seq !== number) throw corrupt(file, number, `it says that it is line ${result.data.seq}`);
  return { record: result.data, sha256 };
}

function corrupt(file: string, line: number, why: string): CoordError {
  return new CoordError('LEDGER_CORRUPT', `line ${line} of the ledger ${file} is damaged: ${why}`, {
    facts: { file, line },
    hint: 'The checkpoints are not affected: move the ledger aside to go on from the newest one (an audit then proves only what comes after it), or restore it from a copy.',
  });
}
