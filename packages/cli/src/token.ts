/** Where secrets come from: the join token from its flag or the environment, so that it need not stand in a process list. */
import { CoordError } from '@coord/protocol';
import type { CommandIo } from './io.js';

export const TOKEN_VARIABLE = 'COORD_TOKEN';

/** `USER:PASSWORD` or `TOKEN` for a NATS server. */
const NATS_CREDENTIALS_VARIABLE = 'COORD_NATS_CREDENTIALS';

export const natsCredentials = (env: CommandIo['env']): string | undefined => env[NATS_CREDENTIALS_VARIABLE];

export function findToken(flag: string | undefined, env: CommandIo['env']): string | undefined {
  const token = flag ?? env[TOKEN_VARIABLE];
  return token === undefined || token === '' ? undefined : token;
}

/** @throws CoordError USAGE when there is none. */
export function requireToken(flag: string | undefined, env: CommandIo['env']): string {
  const token = findToken(flag, env);
  if (token !== undefined) return token;
  throw new CoordError('USAGE', 'no join token was given', {
    hint: `Use the line that \`coord start\` printed, or set ${TOKEN_VARIABLE}.`,
  });
}
