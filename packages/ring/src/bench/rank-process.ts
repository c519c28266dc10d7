/** Program of one rank of the bench; its parent tells it what to do. */

import type { Endpoint } from '@coord/protocol';
import { createPeerListener, dialSegments } from '@coord/transport';
import { createRing } from '../ring.js';
import { createBenchArena, RankWork } from './rank-work.js';

export interface RankSetup {
  readonly rank: number;
  readonly ranks: number;
  readonly maxBytes: number;
}

export type RankCommand =
  | { readonly type: 'link'; readonly endpoints: readonly Endpoint[] }
  | { readonly type: 'time'; readonly bytes: number; readonly iterations: number }
  | { readonly type: 'stop' };

const TIMEOUT_MS = 60_000;
const { rank, ranks, maxBytes } = JSON.parse(process.argv[2]) as RankSetup;
const listener = await createPeerListener({ host: '127.0.0.1' });
let work: RankWork | undefined;

async function link(endpoints: readonly Endpoint[]): Promise<RankWork> {
  const options = { generation: 1, key: 'bench', timeoutMs: TIMEOUT_MS };
  const [next, prev] =
    ranks === 1
      ? []
      : await Promise.all([
          listener.acceptSegments({ ...options, rank: (rank + 1) % ranks }),
          dialSegments(endpoints[(rank + ranks - 1) % ranks], { ...options, rank }),
        ]);
  const arena = createBenchArena(maxBytes);
  return new RankWork(createRing({ rank, size: ranks, next, prev, timeoutMs: TIMEOUT_MS }, arena), arena, maxBytes);
}

async function obey(command: RankCommand): Promise<unknown> {
  if (command.type === 'link') work = await link(command.endpoints);
  if (command.type === 'time') return work?.time(command.bytes, command.iterations);
  if (command.type === 'stop') await listener.close();
  return {};
}

process.on('message', (command: RankCommand) => {
  void obey(command).then((answer) => {
    process.send?.(answer);
    if (command.type === 'stop') process.disconnect();
  });
});
process.send?.(listener.endpoint);
