/** The end of a run: everybody says that nothing is left to do, and with the same weights. Pure. */
import type { WorkerMessageOf } from '@coord/protocol';
import { countVotes } from './votes.js';

export type Finished = WorkerMessageOf<'finished'>;

export type FinishVerdict =
  | { readonly type: 'not-yet' }
  | { readonly type: 'agreed'; readonly finished: Finished }
  /** The majority agrees; these do not. */
  | { readonly type: 'odd'; readonly finished: Finished; readonly dissenters: readonly string[] }
  | { readonly type: 'split'; readonly opinions: string };

/** @param said worker id → what it said at its end; undefined while it has not ended. */
export function judgeFinish(said: ReadonlyMap<string, Finished | undefined>): FinishVerdict {
  const opinions = new Map<string, string>();
  for (const [workerId, finished] of said) {
    if (!finished) return { type: 'not-yet' };
    opinions.set(workerId, `${finished.weightsSha256} at step ${finished.step}`);
  }
  if (opinions.size === 0) return { type: 'not-yet' };
  const { majority, dissenters } = countVotes(opinions);
  if (majority === undefined)
    return { type: 'split', opinions: [...opinions].map((pair) => pair.join(': ')).join(', ') };
  const finished = [...said].find(([workerId]) => !dissenters.includes(workerId))![1]!;
  return dissenters.length === 0 ? { type: 'agreed', finished } : { type: 'odd', finished, dissenters };
}
