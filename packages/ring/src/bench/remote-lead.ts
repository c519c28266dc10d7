/** The machine that leads a bench: waits for the others, and holds rank 0 itself. */
import {
  CoordError,
  createNonce,
  type Endpoint,
  isCoordError,
  knownErrorCode,
  LIMITS,
  type SocketEndpoint,
  toErrorRecord,
} from '@coord/protocol';
import { createPeerListener, type Link, type PeerListener } from '@coord/transport';
import type { Contender, Timing } from './contender.js';
import { joinRanks, type RankHandle } from './group.js';
import { RankService, type RankSetup } from './rank-service.js';
import {
  answerSchema,
  BENCH_PATH,
  type BenchCommand,
  benchProof,
  hear,
  helloSchema,
  linkKeyOf,
  requireBenchProof,
  tell,
  timingSchema,
} from './remote-messages.js';

export interface LeadOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly token: string;
  /** Ranks in all: this machine is one of them. */
  readonly ranks: number;
  /** The bench can be joined at this place. */
  onListening?(endpoint: Endpoint): void;
  onJoined?(remote: string, missing: number): void;
  /** Somebody came who may not join, or broke off before it had. */
  onRefused?(error: CoordError): void;
}

/** Machines that have joined; they stay for all contenders of a bench. */
export interface JoinedHosts {
  /** @param setup of one group of ranks, a rank a machine. */
  startRanks(setup: Omit<RankSetup, 'rank' | 'ranks' | 'host'>): Promise<Contender>;
  close(): Promise<void>;
}

/** Resolves when all have joined. @throws CoordError PORT_IN_USE, UNREACHABLE. */
export async function leadHosts(options: LeadOptions): Promise<JoinedHosts> {
  const { listen, token, ranks } = options;
  const listener = await createPeerListener(listen);
  options.onListening?.(listener.endpoint);
  const links = await gather(listener, options);
  let contenders = 0;
  return {
    async startRanks(setup) {
      const id = contenders++;
      const keyNonce = createNonce();
      // Where the others reached this machine, if it listens everywhere.
      const host = links[0]?.localAddress ?? listen.host;
      const own = await localRank({ ...setup, ranks, rank: 0, host }, linkKeyOf(token, keyNonce));
      const others = await Promise.all(
        links.map((link, index) => remoteRank(link, { type: 'start', id, ...setup, rank: index + 1, ranks }, keyNonce)),
      );
      return joinRanks('ws', [own, ...others]);
    },
    async close() {
      await Promise.allSettled(links.map((link) => tell(link, { type: 'goodbye' })));
      await Promise.all(links.map((link) => link.close('the bench is over')));
      await listener.close();
    },
  };
}

/** Resolves with the links of as many machines as are missing, in the order in which they came. */
function gather(listener: PeerListener, options: LeadOptions): Promise<Link[]> {
  const wanted = options.ranks - 1;
  const links: Link[] = [];
  return new Promise((resolve) => {
    const admit = async (link: Link): Promise<void> => {
      await challenge(link, options.token);
      if (links.length === wanted) return link.close('all ranks of the bench are there');
      links.push(link);
      options.onJoined?.(link.remote, wanted - links.length);
      if (links.length === wanted) resolve(links);
    };
    const take = (link: Link) => void admit(link).catch((error) => refuse(link, error, options));
    listener.onLink(BENCH_PATH, take, { strangerBytes: 2 * LIMITS.handshakeBytes });
    if (wanted === 0) resolve(links);
  });
}

async function refuse(link: Link, error: unknown, { onRefused }: LeadOptions): Promise<void> {
  const { code, message } = toErrorRecord(error);
  if (isCoordError(error)) onRefused?.(error);
  if (code === 'TOKEN_WRONG') await tell(link, { type: 'bench-refused', message }).catch(() => {});
  await link.close('refused');
}

/** @throws CoordError TOKEN_WRONG, and what a broken link throws. */
async function challenge(link: Link, token: string): Promise<void> {
  const lead = createNonce();
  await tell(link, { type: 'bench-challenge', nonce: lead });
  const hello = await hear(link, helloSchema, LIMITS.handshakeBytes);
  const nonces = { lead, joined: hello.nonce };
  requireBenchProof(hello.proof, token, 'joined', nonces, link.remote);
  link.admit?.();
  await tell(link, { type: 'bench-welcome', proof: benchProof(token, 'lead', nonces) });
}

async function localRank(setup: RankSetup, key: string): Promise<RankHandle> {
  const service = await RankService.start(setup);
  return {
    endpoint: service.endpoint,
    link: (endpoints) => service.link(endpoints, key),
    time: (bytes, iterations) => service.time(bytes, iterations),
    stop: () => service.stop(),
  };
}

/** What a joined machine failed with, as that machine called it. */
function failureOf(remote: string, { code, message }: { code: string; message: string }): CoordError {
  return new CoordError(knownErrorCode(code) ?? 'LINK_CLOSED', `${remote} could not go on with the bench: ${message}`, {
    hint: 'Look at what it printed itself; both machines need the same version of coord.',
    facts: { remote },
  });
}

async function remoteRank(
  link: Link,
  start: Extract<BenchCommand, { type: 'start' }>,
  keyNonce: string,
): Promise<RankHandle> {
  const { id } = start;
  const ask = async (command: BenchCommand) => {
    await tell(link, command);
    const answer = await hear(link, answerSchema);
    if ('error' in answer) throw failureOf(link.remote, answer.error);
    return answer;
  };
  const { endpoint } = (await ask(start)) as { endpoint: SocketEndpoint };
  return {
    endpoint,
    async link(endpoints) {
      await ask({ type: 'link', id, endpoints: [...endpoints], keyNonce });
    },
    async time(bytes, iterations): Promise<Timing> {
      return timingSchema.parse(await ask({ type: 'time', id, bytes, iterations }));
    },
    async stop() {
      await ask({ type: 'stop', id });
    },
  };
}
