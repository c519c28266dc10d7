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
  const records: LedgerRecord[] = [];
  let head = CHAIN_START;
  for (const line of wholeLines(bytes)) {
    const number = records.length + 1;
    const read = readLine(line, head);
    if ('why' in read) throw corrupt(file, number, read.why);
    if (read.record.seq !== number) throw corrupt(file, number, `it says that it is line ${read.record.seq}`);
    records.push(read.record);
    head = read.sha256;
  }
  return { records, head, wholeBytes: wholeBytesOf(bytes) };
}

export interface LedgerDamage {
  /** From 1. */
  readonly line: number;
  readonly why: string;
}

/** What a ledger still says, for who wants to see rather than to rely on it: lines that are not what was written are left out, and named. */
export interface SalvagedLedger {
  readonly records: readonly LedgerRecord[];
  readonly damage: readonly LedgerDamage[];
}

/** A line is whole where it follows from the one before; where that one is damaged too, or gone, where it has the form of one. */
export function salvageLedger(bytes: Buffer): SalvagedLedger {
  const records: LedgerRecord[] = [];
  const damage: LedgerDamage[] = [];
  let number = 0;
  let previous: string | undefined = CHAIN_START;
  for (const line of wholeLines(bytes)) {
    number++;
    const read = readLine(line, previous);
    if ('why' in read) damage.push({ line: number, why: read.why });
    else records.push(read.record);
    previous = 'why' in read ? undefined : read.sha256;
  }
  return { records, damage };
}

const wholeBytesOf = (bytes: Buffer): number => bytes.lastIndexOf(NEWLINE) + 1;

/** One by one: a ledger may be longer than a string. */
function* wholeLines(bytes: Buffer): Generator<string> {
  const wholeBytes = wholeBytesOf(bytes);
  for (let at = 0; at < wholeBytes; ) {
    const end = bytes.indexOf(NEWLINE, at);
    yield bytes.toString('utf8', at, end);
    at = end + 1;
  }
}

/** @param previous hash of the line before; what is not known is not compared. */
function readLine(line: string, previous: string | undefined): ParsedLine | { why: string } {
  const [, sha256, text] = LINE.exec(line) ?? [];
  if (text === undefined) return { why: 'it is no ledger line' };
  if (previous !== undefined && chain(previous, text) !== sha256)
    return { why: 'its hash does not follow from the line before' };
  const result = ledgerRecordSchema.safeParse(parsedOrUndefined(text));
  if (!result.success) return { why: `wrong at ${result.error.issues[0].path.join('.')}` };
  return { record: result.data, sha256 };
}

interface ParsedLine {
  readonly record: LedgerRecord;
  readonly sha256: string;
}

/** Nobody has proved yet that it was written by us. */
function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function corrupt(file: string, line: number, why: string): CoordError {
  return new CoordError('LEDGER_CORRUPT', `line ${line} of the ledger ${file} is damaged: ${why}`, {
    facts: { file, line },
    hint: 'The checkpoints are not affected: move the ledger aside to go on from the newest one (an audit then proves only what comes after it), or restore it from a copy.',
  });
}
