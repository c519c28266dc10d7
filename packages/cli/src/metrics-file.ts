/** `metrics.jsonl` of a run: a line for every step and every evaluation, for plots. */
import { createWriteStream, type WriteStream } from 'node:fs';
import type { CoordinatorEvent } from '@coord/coordinator';

export interface MetricsFile {
  record(event: CoordinatorEvent): void;
  close(): Promise<void>;
}

/**
 * Lines are added at the end: after a resume, a later line of the same step is the one that counts. What cannot be written,
 * as on a full disk, is left out: plots are no reason to end a run.
 *
 * @param onWriteError told about the first failure of a row.
 */
export function openMetricsFile(file: string, onWriteError: (error: Error) => void = () => {}): MetricsFile {
  let isFailing = false;
  const open = (): WriteStream =>
    createWriteStream(file, { flags: 'a' }).on('error', (error) => {
      if (!isFailing) onWriteError(error);
      isFailing = true;
    });
  let stream = open();
  const write = (text: string) =>
    stream.write(text, (error) => {
      if (!error) isFailing = false;
    });
  return {
    record(event) {
      if (event.event !== 'step' && event.event !== 'evaluation') return;
      if (stream.destroyed) {
        stream = open();
        // The last line may have been written in part.
        write('\n');
      }
      write(`${JSON.stringify(event)}\n`);
    },
    close: () => new Promise((resolve) => (stream.destroyed ? resolve() : stream.end(() => resolve()))),
  };
}
