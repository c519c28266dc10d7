/** Program of one rank of the bench: its parent tells it what to do, and it ends with it, whatever ended that. */
import { type ErrorRecord, type SocketEndpoint, toErrorRecord } from '@coord/protocol';
import { RankService, type RankSetup } from './rank-service.js';

export type RankCommand =
  | { readonly type: 'link'; readonly endpoints: readonly SocketEndpoint[]; readonly key: string }
  | { readonly type: 'time'; readonly bytes: number; readonly iterations: number }
  | { readonly type: 'stop' };

export type RankAnswer = { readonly value: unknown } | { readonly error: ErrorRecord };

async function obey(service: RankService, command: RankCommand): Promise<unknown> {
  if (command.type === 'link') await service.link(command.endpoints, command.key);
  if (command.type === 'time') return service.time(command.bytes, command.iterations);
  if (command.type === 'stop') await service.stop();
  return {};
}

/** What goes wrong here the parent has to say. */
async function answer(work: Promise<unknown>): Promise<void> {
  const said: RankAnswer = await work.then(
    (value) => ({ value }),
    (error) => ({ error: toErrorRecord(error) }),
  );
  if (process.connected) await new Promise((resolve) => process.send?.(said, resolve));
}

process.on('disconnect', () => process.exit());
// Ctrl-C in a terminal reaches this process too; its parent ends, and an orderly end leaves no socket behind.
process.on('SIGINT', () => {});

const starting = RankService.start(JSON.parse(process.argv[2]) as RankSetup);
void answer(starting.then(({ endpoint }) => endpoint));
process.on('message', async (command: RankCommand) => {
  await answer(starting.then((service) => obey(service, command)));
  if (command.type === 'stop') process.disconnect();
});
