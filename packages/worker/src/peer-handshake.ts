/**
 * Opening of a message link between two hosts: challenge → hello → welcome. The listener learns that the dialer knows the view
 * in force and holds the link key that it claims; the dialer learns the same of the listener. Both proofs cover both nonces and
 * both link keys, so neither can be replayed, reflected, or passed on by a third.
 */
import {
  CoordError,
  createNonce,
  decodeMessage,
  encodeMessage,
  isKeyedProof,
  keyedProof,
  LIMITS,
  type PeerMessage,
  peerChallengeSchema,
  peerHelloSchema,
  peerWelcomeSchema,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { KeyedView, LinkKeys } from './link-keys.js';

type Prover = 'dialer' | 'listener';

/** What both ends know of one link; the names say whose it is. */
interface Meeting {
  readonly service: string;
  readonly generation: number;
  readonly dialerKey: string;
  readonly listenerKey: string;
  readonly dialerNonce: string;
  readonly listenerNonce: string;
  readonly channelBinding: string;
}

const partsOf = (prover: Prover, meeting: Meeting): (string | number)[] => [
  'coord peer',
  prover,
  meeting.service,
  meeting.generation,
  meeting.dialerKey,
  meeting.listenerKey,
  meeting.dialerNonce,
  meeting.listenerNonce,
  meeting.channelBinding,
];

export interface GreetOptions {
  readonly service: string;
  readonly view: KeyedView;
  readonly keys: LinkKeys;
  /** The listener's link key, from the view. */
  readonly peerKey: string | undefined;
}

/** The dialer's side. @throws CoordError RING_BROKEN (no proof, no key), LINK_CLOSED (refused), MESSAGE_INVALID. */
export async function greetPeer(link: Link, { service, view, keys, peerKey }: GreetOptions): Promise<void> {
  const key = keys.pairKey(peerKey, view);
  const challenge = decodeMessage(peerChallengeSchema, await link.receive(), readOptions(link));
  const meeting: Meeting = {
    service,
    generation: view.generation,
    dialerKey: keys.publicKey,
    listenerKey: peerKey ?? '',
    dialerNonce: createNonce(),
    listenerNonce: challenge.nonce,
    channelBinding: link.channelBinding,
  };
  const { generation, dialerKey: linkKey, dialerNonce: nonce } = meeting;
  const proof = keyedProof(key, partsOf('dialer', meeting));
  await send(link, { type: 'peer-hello', generation, linkKey, nonce, proof });
  const welcome = decodeMessage(peerWelcomeSchema, await link.receive(), readOptions(link));
  if (!isKeyedProof(welcome.proof, key, partsOf('listener', meeting))) throw unproven(link);
}

export interface ChallengeOptions {
  readonly service: string;
  readonly keys: LinkKeys;
  /** The view in force; undefined while there is none. */
  readonly view: () => KeyedView | undefined;
}

/**
 * The listener's side.
 *
 * @returns the dialer's link key.
 * @throws CoordError RING_BROKEN (no proof, another generation), LINK_CLOSED, MESSAGE_INVALID.
 */
export async function challengePeer(link: Link, { service, keys, view }: ChallengeOptions): Promise<string> {
  const listenerNonce = createNonce();
  await send(link, { type: 'peer-challenge', nonce: listenerNonce });
  const hello = decodeMessage(peerHelloSchema, await link.receive(), readOptions(link));
  const current = view();
  if (current?.generation !== hello.generation) throw wrongGeneration(link, hello.generation, current?.generation);
  const meeting: Meeting = {
    service,
    generation: hello.generation,
    dialerKey: hello.linkKey,
    listenerKey: keys.publicKey,
    dialerNonce: hello.nonce,
    listenerNonce,
    channelBinding: link.channelBinding,
  };
  const key = keys.pairKey(hello.linkKey, current);
  if (!isKeyedProof(hello.proof, key, partsOf('dialer', meeting))) throw unproven(link);
  link.admit?.();
  const proof = keyedProof(key, partsOf('listener', meeting));
  await send(link, { type: 'peer-welcome', proof });
  return hello.linkKey;
}

const send = (link: Link, message: PeerMessage): Promise<void> => link.send(encodeMessage(message));

/** No more than a handshake is read from whoever has not proved anything. */
const readOptions = ({ remote: from }: Link) => ({ from, limitBytes: LIMITS.handshakeBytes });

const unproven = ({ remote }: Link): CoordError =>
  new CoordError('RING_BROKEN', `${remote} does not prove that it belongs to this view`, { facts: { remote } });

const wrongGeneration = ({ remote }: Link, theirs: number, generation = 0): CoordError =>
  new CoordError('RING_BROKEN', `${remote} asks in generation ${theirs}; it is ${generation} here`, {
    facts: { remote, theirs, generation },
  });
