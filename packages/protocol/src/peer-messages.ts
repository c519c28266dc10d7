/** What two hosts say to each other when one has dialed a message link to the other: challenge → hello → welcome. */
import { z } from 'zod';
import { linkKeySchema } from './view.js';

const secretText = z.string().min(16).max(128);

export const peerChallengeSchema = z.object({ type: z.literal('peer-challenge'), nonce: secretText });
export const peerHelloSchema = z.object({
  type: z.literal('peer-hello'),
  generation: z.number().int().min(1),
  /** The dialer's public link key. */
  linkKey: linkKeySchema,
  nonce: secretText,
  proof: secretText,
});
export const peerWelcomeSchema = z.object({ type: z.literal('peer-welcome'), proof: secretText });

export type PeerMessage =
  | z.infer<typeof peerChallengeSchema>
  | z.infer<typeof peerHelloSchema>
  | z.infer<typeof peerWelcomeSchema>;
