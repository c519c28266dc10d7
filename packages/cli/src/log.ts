/** Logs: JSON lines in a file of the run directory, and on stderr when asked for. */
import { writeFailed } from '@coord/disk';
import { type Logger, pino, type StreamEntry } from 'pino';

export interface LogOptions {
  /** Name in every line: `coordinator`, `worker`. */
  readonly name: string;
  readonly file?: string;
  readonly stderr: boolean | undefined;
}

/** @throws CoordError CHECKPOINT_WRITE_FAILED when the file cannot be opened. */
export function createLogger(options: LogOptions): Logger {
  const streams: StreamEntry[] = [];
  // Synchronous, so that the last words before a crash are in the file; a few lines a second cost nothing.
  if (options.file !== undefined) {
    const file = openFile(options.file);
    // A full disk is no reason to end; what could not be written is tried again with the next line.
    file.on('error', () => {});
    streams.push({ stream: file });
  }
  if (options.stderr) {
    const stderr = pino.destination({ dest: 2, sync: true });
    // It may be a file too: that of a local worker is.
    stderr.on('error', () => {});
    streams.push({ stream: stderr });
  }
  return pino({ name: options.name, level: streams.length === 0 ? 'silent' : 'info' }, pino.multistream(streams));
}

function openFile(file: string) {
  try {
    return pino.destination({ dest: file, mkdir: true, sync: true });
  } catch (cause) {
    throw writeFailed(file, cause);
  }
}
