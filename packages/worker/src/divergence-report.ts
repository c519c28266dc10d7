/** What a host tells the coordinator when replicas have differed. */
import { CoordError, MAX_DIFFERENCES, type View, type WorkerMessageOf } from '@coord/protocol';
import type { Testimony } from './replica-verdict.js';
import type { Divergence, Split } from './synchronise.js';

type Diverged = WorkerMessageOf<'diverged'>;

/** By everybody who has seen it: one worker's word against another is no proof. Who had another step has nothing to say. */
export function divergenceReport(divergence: Divergence, view: View, rank: number): Diverged | undefined {
  const { step, testimonies, agreedSha256 } = divergence;
  if (testimonies[rank].step !== step) return undefined;
  const dissenters = dissentersOf(view, testimonies, divergence.dissenters);
  const differences = divergence.differences.slice(0, MAX_DIFFERENCES);
  return { type: 'diverged', generation: view.generation, step, agreedSha256, dissenters, differences };
}

/** @param startsFrom step of the state that this host has gone back to. */
export function splitReport({ step, testimonies }: Split, view: View, startsFrom: number): Diverged {
  const ranks = [...testimonies.keys()].filter((rank) => testimonies[rank].step === step);
  const dissenters = dissentersOf(view, testimonies, ranks);
  return { type: 'diverged', generation: view.generation, step, dissenters, differences: [], startsFrom };
}

function dissentersOf({ members }: View, testimonies: readonly Testimony[], ranks: readonly number[]) {
  return ranks.map((rank) => {
    const { weightsSha256, isIntact } = testimonies[rank];
    return { workerId: members[rank].workerId, weightsSha256, isIntact };
  });
}

export function undecidable({ step, testimonies }: Split): CoordError {
  const opinions = testimonies.map(({ weightsSha256 }, rank) => `rank ${rank} ${weightsSha256.slice(0, 12)}…`);
  return new CoordError(
    'REPLICA_DIVERGED',
    `replicas differ after step ${step}, again, and no state has a majority: ${opinions.join(', ')}`,
    {
      facts: { step },
      hint: 'Test the memory of these machines. With three or more workers the odd one is found and repaired.',
    },
  );
}
