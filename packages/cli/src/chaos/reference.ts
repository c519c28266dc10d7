/** The same run, undisturbed, on one worker: what its weights are after a step. */
import { join } from 'node:path';
import { CoordProcess } from './process.js';

export interface ReferenceOptions {
  readonly config: string;
  readonly settings: readonly string[];
  readonly seed: number;
  readonly directory: string;
  readonly insideDirectory: string;
}

/** @throws Error when the run ends before that step. */
export async function referenceHash(step: number, options: ReferenceOptions): Promise<string> {
  const { config, settings, seed, directory, insideDirectory } = options;
  const { found, process } = await new Promise<{ found?: string; process: CoordProcess }>((resolve, reject) => {
    const sets = settings.flatMap((setting) => ['--set', setting]);
    const place = ['--listen', '127.0.0.1:0', '--run-dir', join(directory, 'reference')];
    const process = new CoordProcess({
      args: ['start', config, '--json', '--workers', '1', '--seed', String(seed), ...place, ...sets],
      env: {},
      insideDirectory,
      stderrFile: join(insideDirectory, 'reference.stderr'),
      onEvent(event) {
        if (event.event === 'step' && event.step === step) resolve({ found: String(event.weightsSha256), process });
      },
    });
    process.ended.then(() => resolve({ process }), reject);
  });
  await process.end('SIGINT');
  if (found === undefined) throw new Error(`the undisturbed run ended before step ${step}: ${process.error?.message}`);
  return found;
}
