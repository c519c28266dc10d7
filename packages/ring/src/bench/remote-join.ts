/** A machine that joins a bench: proves that it knows the token, and does what the leading one says until it is sent home. */
import { CoordError, createNonce, LIMITS, toErrorRecord } from '@coord/protocol';
import { connectLink, type Link } from '@coord/transport';
import { RankService } from './rank-service.js';
import {
  BENCH_PATH,
  type BenchCommand,
  type BenchMessage,
  benchProof,
  challengeSchema,
  commandSchema,
  hear,
  linkKeyOf,
  requireBenchProof,
  tell,
  welcomeSchema,
} from './remote-messages.js';

export interface JoinOptions {
  /** ws://HOST:PORT of the leading machine. */
  readonly url: string;
  readonly token: string;
  onJoined?(): void;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Resolves when the bench is over. @throws CoordError UNREACHABLE, TOKEN_WRONG, LINK_CLOSED (the leading machine is gone). */
export async function joinBench({ url, token, onJoined }: JoinOptions): Promise<void> {
  const link = await connectLink(new URL(BENCH_PATH, url).href, { timeoutMs: CONNECT_TIMEOUT_MS });
  const services = new Map<number, RankService>();
  try {
    await greet(link, token);
    onJoined?.();
    for (;;) {
      const command = await hear(link, commandSchema);
      if (command.type === 'goodbye') return;
      await tell(link, await answerTo(command, { services, token, host: link.localAddress }));
    }
  } finally {
    await Promise.allSettled([...services.values()].map((service) => service.stop()));
    await link.close('left the bench');
  }
}

async function greet(link: Link, token: string): Promise<void> {
  const { nonce: lead } = await hear(link, challengeSchema, LIMITS.handshakeBytes);
  const nonces = { lead, joined: createNonce() };
  await tell(link, { type: 'bench-hello', nonce: nonces.joined, proof: benchProof(token, 'joined', nonces) });
  const welcome = await hear(link, welcomeSchema, LIMITS.handshakeBytes);
  if (welcome.type === 'bench-refused')
    throw new CoordError('TOKEN_WRONG', `${link.remote} refuses: ${welcome.message}`);
  requireBenchProof(welcome.proof, token, 'lead', nonces, link.remote);
}

interface Place {
  readonly services: Map<number, RankService>;
  readonly token: string;
  /** Address at which the other ranks reach this machine. */
  readonly host: string;
}

/** What goes wrong here the leading machine must know. */
async function answerTo(command: Exclude<BenchCommand, { type: 'goodbye' }>, place: Place): Promise<BenchMessage> {
  try {
    return await obey(command, place);
  } catch (error) {
    const { code, message } = toErrorRecord(error);
    return { error: { code, message: message.slice(0, LIMITS.textLength) } };
  }
}

async function obey(
  command: Exclude<BenchCommand, { type: 'goodbye' }>,
  { services, token, host }: Place,
): Promise<BenchMessage> {
  const { id } = command;
  if (command.type === 'start') {
    const service = await RankService.start({ ...command, host });
    services.set(id, service);
    return { endpoint: service.endpoint };
  }
  const service = services.get(id);
  if (!service) throw new CoordError('MESSAGE_UNEXPECTED', `there is no rank ${id} here`, { facts: { id } });
  if (command.type === 'link') await service.link(command.endpoints, linkKeyOf(token, command.keyNonce));
  if (command.type === 'time') {
    const { ms, wrong } = await service.time(command.bytes, command.iterations);
    return { ms: [...ms], wrong };
  }
  if (command.type === 'stop') {
    services.delete(id);
    await service.stop();
  }
  return {};
}
