/** Program of one rank of the bench; its parent tells it what to do. */
import type { SocketEndpoint } from '@coord/protocol';
import { RankService, type RankSetup } from './rank-service.js';

export type RankCommand =
  | { readonly type: 'link'; readonly endpoints: readonly SocketEndpoint[]; readonly key: string }
  | { readonly type: 'time'; readonly bytes: number; readonly iterations: number }
  | { readonly type: 'stop' };

const service = await RankService.start(JSON.parse(process.argv[2]) as RankSetup);

async function obey(command: RankCommand): Promise<unknown> {
  if (command.type === 'link') await service.link(command.endpoints, command.key);
  if (command.type === 'time') return service.time(command.bytes, command.iterations);
  if (command.type === 'stop') await service.stop();
  return {};
}

process.on('message', (command: RankCommand) => {
  void obey(command).then((answer) => {
    process.send?.(answer);
    if (command.type === 'stop') process.disconnect();
  });
});
process.send?.(service.endpoint);
