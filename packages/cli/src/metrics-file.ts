/** `metrics.jsonl` of a run: a line for every step and every evaluation, for plots. */
import { createWriteStream } from 'node:fs';
import type { CoordinatorEvent } from '@coord/coordinator';

export interface MetricsFile {
  record(event: CoordinatorEvent): void;
  close(): Promise<void>;
}

/** Lines are added at the end: after a resume, a later line of the same step is the one that counts. */
export function openMetricsFile(file: string): MetricsFile {
  const stream = createWriteStream(file, { flags: 'a' });
  return {
    record(event) {
      if (event.event === 'step' || event.event === 'evaluation') stream.write(`${JSON.stringify(event)}\n`);
    },
    close: () => new Promise((resolve) => stream.end(resolve)),
  };
}
