/** A measurement that Ctrl-C ends in order: processes and files that it made are gone afterwards. */
import { EXIT_CODE } from '@coord/protocol';
import { isolationOf } from '../chaos/isolate.js';
import { endWithParent } from '../chaos/parent.js';
import type { CommandIo } from '../io.js';

/**
 * @param measure whatever it does after its signal has fired is of no interest, but that it ends.
 * @returns its exit status; 130 after Ctrl-C, or, in namespaces, after the process that made those has gone. A second Ctrl-C ends at once.
 */
export async function interruptible(io: CommandIo, measure: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const interrupt = new AbortController();
  const release = io.onInterrupt(() => {
    if (interrupt.signal.aborted) io.exit(EXIT_CODE.interrupted);
    interrupt.abort();
  });
  if (isolationOf(io.env)) endWithParent(() => interrupt.abort());
  try {
    return await measure(interrupt.signal);
  } catch (error) {
    if (interrupt.signal.aborted) return EXIT_CODE.interrupted;
    throw error;
  } finally {
    release();
  }
}
