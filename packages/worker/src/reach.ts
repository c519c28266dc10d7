/** How a worker reaches its coordinator and its peers; the scheme of the coordinator's address decides. */
import { CoordError, type JoinToken } from '@coord/protocol';
import { type Certificate, connectLink, createWsNetwork, type Link, type PeerNetwork } from '@coord/transport';
import type { NatsGateway } from '@coord/transport/nats';
import type { Logger } from 'pino';

export interface ReachOptions {
  readonly url: string;
  readonly natsCredentials?: string | undefined;
  /** Its fingerprint is what the coordinator's certificate must have; its key, over NATS, is who must answer. */
  readonly token: JoinToken;
  /** What the worker is called, for the NATS server's monitoring. */
  readonly name: string;
  readonly logger: Logger;
}

export interface PeerPlace {
  /** Where this host listens, and where it tells its peers to find it, where they do so by a socket. */
  readonly listen: { readonly host: string; readonly port?: number };
  readonly advertise?: { readonly host: string; readonly port?: number } | undefined;
  readonly localSocket?: boolean | undefined;
}

export interface Reach {
  /** @throws CoordError UNREACHABLE … of the link, or of a NATS server; USAGE when several runs are behind that one. */
  dialCoordinator(timeoutMs: number): Promise<Link>;
  /** @throws CoordError UNREACHABLE, PORT_IN_USE. */
  openNetwork(place: PeerPlace): Promise<PeerNetwork>;
  close(): Promise<void>;
}

const NATS = /^nats(\+tls)?:\/\//i;
const TIMEOUT_MS = 10_000;

/** @throws CoordError USAGE when the address is none. */
export async function openReach(options: ReachOptions): Promise<Reach> {
  const { url, token } = options;
  return NATS.test(url)
    ? overNats(options)
    : overSockets(joinUrl(url, token.certificateSha256 !== undefined), token.certificateSha256);
}

function overSockets(url: string, certificateSha256: string | undefined): Reach {
  const isEncrypted = url.startsWith('wss:');
  return {
    dialCoordinator: (timeoutMs) => connectLink(url, { timeoutMs, certificateSha256 }),
    async openNetwork({ listen, advertise, localSocket }) {
      const certificate = isEncrypted ? await ownCertificate((advertise ?? listen).host) : undefined;
      return createWsNetwork({ ...listen, certificate, localSocket }, advertise);
    },
    async close() {},
  };
}

/** The server is reached, and the run found, at the first dial: neither need be there before. */
async function overNats({ url, natsCredentials, name, token, logger }: ReachOptions): Promise<Reach> {
  // The client is loaded only where it is used.
  const transport = await import('@coord/transport/nats');
  const { server: servers, tls, credentials, run } = transport.parseNatsAddress(url, natsCredentials);
  let way: { readonly gateway: NatsGateway; readonly prefix: string } | undefined;
  const onForgery = transport.countForgeries((messages, from) =>
    logger.warn({ messages, from }, 'messages over NATS came from nobody of this run, and were dropped'),
  );
  const onDenied = (error: Error) => logger.warn({ error: error.message }, 'the NATS server does not allow something');
  const open = async () => {
    const about = {
      servers,
      tls,
      credentials,
      name: `coord worker ${name}`,
      timeoutMs: TIMEOUT_MS,
      onForgery,
      onDenied,
    };
    const gateway = await transport.NatsGateway.open(about);
    try {
      return { gateway, prefix: transport.subjectPrefix(run ?? (await transport.findRun(gateway.connection, token))) };
    } catch (error) {
      await gateway.close();
      throw error;
    }
  };
  return {
    async dialCoordinator(timeoutMs) {
      way ??= await open();
      const { secret, standingKey } = token;
      const options = { subject: `${way.prefix}.join`, secret, standingKey, timeoutMs };
      return transport.connectNatsLink(way.gateway.connection, options);
    },
    async openNetwork() {
      way ??= await open();
      return transport.createNatsNetwork(way.gateway, way.prefix);
    },
    async close() {
      await way?.gateway.close();
    },
  };
}

/** Where the way to the coordinator is encrypted, so are the ways to the peers; they know this one from the view. */
async function ownCertificate(host: string): Promise<Certificate> {
  // What makes certificates is loaded only where it is used.
  const { createCertificate } = await import('@coord/transport/certificate');
  return createCertificate([host]);
}

/**
 * @param isPinned the token names a certificate: then nothing is sent in the clear.
 * @throws CoordError USAGE when `url` is no address, or a plain one although there is a certificate.
 */
export function joinUrl(url: string, isPinned = false): string {
  if (isPinned && /^(ws|http):\/\//i.test(url)) throw notPlain(url);
  const withScheme = /^[a-z]+:\/\//i.test(url) ? url : `${isPinned ? 'wss' : 'ws'}://${url}`;
  const text = withScheme.replace(/^http/i, 'ws');
  if (!URL.canParse(text) || !/^wss?:\/\/./i.test(text)) {
    throw new CoordError('USAGE', `${url} is no address of a coordinator`, {
      hint: 'It looks like ws://192.0.2.7:7070, or nats://192.0.2.7:4222/RUN.',
    });
  }
  const parsed = new URL(text);
  parsed.pathname = '/join';
  return parsed.href;
}

const notPlain = (url: string): CoordError =>
  new CoordError('USAGE', `${url} is not encrypted, but the token belongs to a coordinator that is`, {
    hint: `Use ${url.replace(/^(ws|http):/i, '$1s:')}, as in the line that \`coord start\` printed.`,
    facts: { url },
  });
