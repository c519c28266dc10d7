/**
 * Ledger: the coordinator's append-only record. What others rely on (views, checkpoints, the end) is on the disk before
 * anything is done about it; steps are written at most a second late, because any of them can be computed again.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { errnoOf, errorText, writing } from '@coord/disk';
import { type Clock, CoordError, systemClock } from '@coord/protocol';
import type { LedgerEntry, LedgerRecord } from './ledger-entries.js';
import { formatLine, parseLedger, type SalvagedLedger, salvageLedger } from './ledger-lines.js';

const STEP_DELAY_MS = 1000;

/** Entries that may wait for the next write. */
const LAZY: ReadonlySet<LedgerEntry['type']> = new Set(['step']);

export interface Ledger {
  readonly path: string;
  /** What stood in the file when it was opened. */
  readonly past: readonly LedgerRecord[];
  /** Bytes of a torn last line that were cut off on opening. */
  readonly tornBytes: number;
  /** Steps up to this one are on the disk. */
  readonly recordedStep: number;
  /** In the order of calls. Steps reach the disk within a second, everything else at once. */
  append(entry: LedgerEntry): void;
  /** Resolves when all that was appended is on the disk. @throws CoordError CHECKPOINT_WRITE_FAILED */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface LedgerOptions {
  readonly clock?: Clock;
  /** Wall clock for the lines' time, in ms since 1970. */
  readonly nowUnixMs?: () => number;
  /** Told about a failed write; the lines stay and are tried again with the next. */
  readonly onWriteError?: (error: unknown) => void;
  /** Told about lines that are on the disk now. */
  readonly onWritten?: (lines: readonly string[]) => void;
}

/** @throws CoordError LEDGER_CORRUPT naming file and line, or why it cannot be read; a missing file is an empty ledger. */
export async function readLedger(path: string): Promise<readonly LedgerRecord[]> {
  return parseLedger(path, await readIfThere(path)).records;
}

/** As much as can be read, and what was left out. @throws CoordError LEDGER_CORRUPT where the file cannot be read at all. */
export async function readDamagedLedger(path: string): Promise<SalvagedLedger> {
  return salvageLedger(await readIfThere(path));
}

/** Opens or creates the ledger, and cuts off a torn last line. @throws CoordError LEDGER_CORRUPT, CHECKPOINT_WRITE_FAILED */
export async function openLedger(path: string, options: LedgerOptions = {}): Promise<Ledger> {
  const bytes = await readIfThere(path);
  const { records, head, wholeBytes } = parseLedger(path, bytes);
  const handle = await writing(path, () => openCut(path, wholeBytes));
  const start = { handle, head, seq: records.length, sizeBytes: wholeBytes };
  return new LedgerFile(path, records, bytes.length - wholeBytes, start, options);
}

async function openCut(path: string, wholeBytes: number): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    await handle.truncate(wholeBytes);
    await handle.sync();
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readIfThere(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    if (errnoOf(cause) === 'ENOENT') return Buffer.alloc(0);
    throw new CoordError('LEDGER_CORRUPT', `the ledger ${path} cannot be read: ${errorText(cause)}`, {
      hint: 'Nothing has been changed. See that it is a file and that this user may read and write it, then try again.',
      facts: { file: path, errno: errnoOf(cause) },
      cause,
    });
  });
}

interface Position {
  readonly handle: FileHandle;
  head: string;
  seq: number;
  sizeBytes: number;
}

class LedgerFile implements Ledger {
  recordedStep: number;
  private appendedStep: number;
  private unwritten: string[] = [];
  private writing: Promise<void> = Promise.resolve();
  private cancelTimer: (() => void) | undefined;
  private readonly clock: Clock;

  constructor(
    readonly path: string,
    readonly past: readonly LedgerRecord[],
    readonly tornBytes: number,
    private readonly at: Position,
    private readonly options: LedgerOptions,
  ) {
    this.clock = options.clock ?? systemClock;
    this.recordedStep = past.reduce((last, { entry }) => (entry.type === 'step' ? entry.step : last), 0);
    this.appendedStep = this.recordedStep;
  }

  append(entry: LedgerEntry): void {
    const time = new Date(this.options.nowUnixMs?.() ?? Date.now()).toISOString();
    const { line, sha256 } = formatLine(this.at.head, { seq: ++this.at.seq, time, entry });
    this.at.head = sha256;
    this.unwritten.push(line);
    if (entry.type === 'step') this.appendedStep = entry.step;
    if (LAZY.has(entry.type)) this.flushLater();
    else void this.flush().catch((error) => this.options.onWriteError?.(error));
  }

  flush(): Promise<void> {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.writing = this.writing.catch(() => {}).then(() => writing(this.path, () => this.write()));
    return this.writing;
  }

  async close(): Promise<void> {
    await this.flush().finally(() => this.at.handle.close());
  }

  private flushLater(): void {
    this.cancelTimer ??= this.clock.after(STEP_DELAY_MS, () => {
      this.flush().catch((error) => this.options.onWriteError?.(error));
    });
  }

  /** Lines leave the queue only when they are on the disk; a failed write is repeated at the same place. */
  private async write(): Promise<void> {
    const count = this.unwritten.length;
    if (count === 0) return;
    const step = this.appendedStep;
    const bytes = Buffer.from(this.unwritten.join(''));
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.at.handle.write(bytes, done, bytes.length - done, this.at.sizeBytes + done);
      done += bytesWritten;
    }
    await this.at.handle.datasync();
    this.at.sizeBytes += bytes.length;
    this.recordedStep = step;
    const written = this.unwritten.splice(0, count);
    this.options.onWritten?.(written);
  }
}
