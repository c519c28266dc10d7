/**
 * Handshake of a channel over NATS, where whoever may use the server hears everything and can answer in anybody's place:
 * dial → answer, and both ends have the channel's keys before anything else is said.
 *
 * Each end makes an X25519 key pair for this channel alone, and HKDF (RFC 5869) makes the keys of what they agree on: what is
 * recorded opens to nobody later. Who the other end is rests on what both know before, any of:
 * - a *secret*: the dial proves it, and the answer cannot be made without it;
 * - the listener's *standing key*, which the dialer has from the view or from its token: only its owner can answer;
 * - the *binding* of the keys, which later proofs over the channel cover: whoever stands between has another one on either side.
 */
import { hkdfSync } from 'node:crypto';
import { isKeyedProof, KeyPair, keyedProof, linkKeySchema, PROTOCOL_VERSION } from '@coord/protocol';
import { z } from 'zod';

/** Below the smallest max_payload of a server. */
const MAX_HANDSHAKE_BYTES = 512;
const KEY_BYTES = 32;

const version = z.number().int().min(0).max(1_000_000);
/** Another version's dials say other things, and must still be told why they are refused. */
const dialSchema = z.object({ version, key: linkKeySchema, proof: linkKeySchema.optional() });
export type Dial = z.infer<typeof dialSchema>;

const answerSchema = z.union([
  z.strictObject({
    key: linkKeySchema,
    standingKey: linkKeySchema.optional(),
    /** What else the listener has to say. */
    text: z.string().max(128).optional(),
    proof: linkKeySchema,
  }),
  z.strictObject({ refused: z.literal(['secret', 'version']), version }),
]);
type Answer = z.infer<typeof answerSchema>;
export type Refusal = Extract<Answer, { refused: string }>;

/** One end's. */
export interface ChannelKeys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
  /** See `Link`. */
  readonly binding: string;
}

/** What is known of a channel before it is made. */
export interface ChannelAim {
  /** That is asked at. */
  readonly subject: string;
  /** That both ends know; empty where there is none. */
  readonly secret: string;
}

export class Dialer {
  private readonly pair = KeyPair.create();

  constructor(
    private readonly aim: ChannelAim,
    /** The listener's, where it is known; any other one's answer is none. */
    private readonly standingKey?: string,
  ) {}

  /** Names the channel: part of its subjects. */
  get id(): string {
    return this.pair.publicKey;
  }

  get dial(): string {
    const proof = keyedProof(this.aim.secret, dialParts(this.aim.subject, this.id));
    return JSON.stringify({ version: PROTOCOL_VERSION, key: this.id, proof } satisfies Dial);
  }

  /** @returns the keys, and what else was said; a refusal, which anybody may have sent; undefined for anything else. */
  readAnswer(data: Uint8Array): (ChannelKeys & { readonly text: string }) | Refusal | undefined {
    const answer = parse(answerSchema, data);
    if (!answer || 'refused' in answer) return answer;
    const { key, standingKey, text = '', proof } = answer;
    if (this.standingKey !== undefined && standingKey !== this.standingKey) return undefined;
    const peers = standingKey === undefined ? [key] : [key, standingKey];
    const agreed = agreeOn(peers.map((peer) => [this.pair, peer]));
    const keys = agreed && deriveKeys(this.aim, { dialerKey: this.id, key, standingKey }, agreed);
    if (!keys || !isKeyedProof(proof, keys.proofKey, answerParts(text))) return undefined;
    return { send: keys.toListener, receive: keys.toDialer, binding: keys.binding, text };
  }
}

/** @returns undefined where this is no dial. */
export const parseDial = (data: Uint8Array): Dial | undefined => parse(dialSchema, data);

export const refusal = (refused: Refusal['refused']): string =>
  JSON.stringify({ refused, version: PROTOCOL_VERSION } satisfies Refusal);

export const isDialProven = ({ key, proof = '' }: Dial, { subject, secret }: ChannelAim): boolean =>
  isKeyedProof(proof, secret, dialParts(subject, key));

/** @param standing the listener's own. @param text comes with the answer, readable by all. @returns undefined where the dialer's key is none. */
export function answerDial(
  { key: dialerKey }: Dial,
  aim: ChannelAim,
  standing?: KeyPair,
  text?: string,
): { readonly answer: string; readonly keys: ChannelKeys } | undefined {
  const pair = KeyPair.create();
  const agreed = agreeOn([pair, ...(standing ? [standing] : [])].map((own) => [own, dialerKey]));
  if (!agreed) return undefined;
  const [key, standingKey] = [pair.publicKey, standing?.publicKey];
  const keys = deriveKeys(aim, { dialerKey, key, standingKey }, agreed);
  const answer: Answer = { key, standingKey, text, proof: keyedProof(keys.proofKey, answerParts(text)) };
  return {
    answer: JSON.stringify(answer),
    keys: { send: keys.toDialer, receive: keys.toListener, binding: keys.binding },
  };
}

const dialParts = (subject: string, key: string) => ['coord nats dial', PROTOCOL_VERSION, subject, key];
const answerParts = (text = '') => ['coord nats answer', text];

/** @returns undefined where a peer's key is none, or one that agrees with everybody. */
function agreeOn(ends: readonly (readonly [own: KeyPair, peer: string])[]): Buffer | undefined {
  try {
    return Buffer.concat(ends.map(([own, peer]) => own.agree(peer)));
  } catch {
    return undefined;
  }
}

interface PublicKeys {
  readonly dialerKey: string;
  readonly key: string;
  readonly standingKey: string | undefined;
}

function deriveKeys({ subject, secret }: ChannelAim, { dialerKey, key, standingKey = '' }: PublicKeys, agreed: Buffer) {
  const info = JSON.stringify(['coord nats channel', PROTOCOL_VERSION, subject, dialerKey, key, standingKey]);
  const bytes = Buffer.from(hkdfSync('sha256', agreed, secret, info, 4 * KEY_BYTES));
  const [toListener, toDialer, proofKey, binding] = [0, 1, 2, 3].map((at) =>
    bytes.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES),
  );
  return { toListener, toDialer, proofKey: proofKey.toString('base64url'), binding: binding.toString('base64url') };
}

function parse<T>(schema: z.ZodType<T>, data: Uint8Array): T | undefined {
  if (data.byteLength > MAX_HANDSHAKE_BYTES) return undefined;
  try {
    return schema.parse(JSON.parse(Buffer.from(data).toString()));
  } catch {
    return undefined;
  }
}
