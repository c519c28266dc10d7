/** What a run remembers of a token. */
import { z } from 'zod';

/** `worker` joins and sees the status; `observer` sees the status; `operator` sees it, drains workers and rules over tokens. */
export const TOKEN_ROLES = ['worker', 'observer', 'operator'] as const;
export type TokenRole = (typeof TOKEN_ROLES)[number];

const time = z.iso.datetime();

export const tokenRecordSchema = z.object({
  /** `t1`, `t2` …: never used twice in a run, and no secret. */
  id: z.string().regex(/^t[1-9]\d{0,8}$/),
  name: z.string().regex(/^[\w .-]{1,60}$/),
  role: z.enum(TOKEN_ROLES),
  secret: z.string().min(1).max(500),
  createdAt: time,
  expiresAt: time.optional(),
  revokedAt: time.optional(),
});
export type TokenRecord = z.infer<typeof tokenRecordSchema>;

/** What may be shown: everything but the secret. */
export type TokenSummary = Omit<TokenRecord, 'secret'> & { readonly state: TokenState };
export type TokenState = 'valid' | 'expired' | 'revoked';

export function stateOf({ expiresAt, revokedAt }: TokenRecord, nowUnixMs: number): TokenState {
  if (revokedAt !== undefined) return 'revoked';
  return expiresAt !== undefined && Date.parse(expiresAt) <= nowUnixMs ? 'expired' : 'valid';
}

export const labelOf = ({ id, name }: Pick<TokenRecord, 'id' | 'name'>): string => `${id} (${name})`;
