import { EXIT_CODE } from '@coord/protocol';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { TokenCreateOptions, TokenOptions, TokenRevokeOptions, TokenRotateOptions } from '../options.js';
import { type RevokedToken, type ShownToken, type TokenDesk, withTokenDesk } from '../token-desk.js';
import { formatTable, plural } from '../view/format.js';

/** @throws CoordError USAGE, UNREACHABLE, TOKEN_WRONG, CERTIFICATE_WRONG. */
export async function runTokenList(where: string, options: TokenOptions, io: CommandIo): Promise<number> {
  return withTokenDesk(where, options, io, async (desk) => {
    const tokens = await desk.list();
    if (options.json) for (const token of tokens) writeJson(io.stdout, { event: 'token', ...token });
    else writeLine(io.stdout, formatTable(['id', 'name', 'role', 'state', 'created', 'until'], tokens.map(rowOf)));
    return EXIT_CODE.ok;
  });
}

const rowOf = ({ id, name, role, state, createdAt, expiresAt, revokedAt }: ShownToken): string[] => [
  id,
  name,
  role,
  state ?? 'valid',
  createdAt,
  revokedAt ?? expiresAt ?? '',
];

export async function runTokenCreate(where: string, options: TokenCreateOptions, io: CommandIo): Promise<number> {
  return withTokenDesk(where, options, io, async (desk) => {
    const { token, text } = await desk.create({ name: options.name, role: options.role, validMs: options.expires });
    if (options.json) writeJson(io.stdout, { event: 'token-created', ...token, text });
    else writeLine(io.stdout, `${sentenceOf(token)}:\n  ${text}`);
    return EXIT_CODE.ok;
  });
}

export async function runTokenRevoke(
  who: string,
  where: string,
  options: TokenRevokeOptions,
  io: CommandIo,
): Promise<number> {
  return withTokenDesk(where, options, io, async (desk) => {
    const revoked = await desk.revoke(who, options.disconnect === true);
    if (options.json)
      writeJson(io.stdout, { event: 'token-revoked', ...revoked.token, disconnected: revoked.disconnected });
    else
      writeLine(io.stdout, `${revoked.token.id} (${revoked.token.name}) is revoked${farewell(revoked, desk, options)}`);
    return EXIT_CODE.ok;
  });
}

export async function runTokenRotate(
  who: string,
  where: string,
  options: TokenRotateOptions,
  io: CommandIo,
): Promise<number> {
  return withTokenDesk(where, options, io, async (desk) => {
    const rotated = await desk.rotate(who, options.grace ?? 0, options.disconnect === true);
    const { old, token, text, disconnected } = rotated;
    if (options.json) writeJson(io.stdout, { event: 'token-rotated', ...token, text, old, disconnected });
    else {
      const until = old.expiresAt === undefined ? 'is revoked' : `works until ${old.expiresAt}`;
      writeLine(io.stdout, `${old.id} (${old.name}) ${until}${farewell({ token: old, disconnected }, desk, options)}`);
      writeLine(io.stdout, `${sentenceOf(token)}:\n  ${text}`);
    }
    return EXIT_CODE.ok;
  });
}

const sentenceOf = ({ id, name, role, expiresAt }: ShownToken): string =>
  `${id} (${name}), for a ${role}${expiresAt === undefined ? '' : `, valid until ${expiresAt}`}`;

function farewell(
  { disconnected }: Pick<RevokedToken, 'disconnected' | 'token'>,
  { isLive }: TokenDesk,
  { disconnect }: TokenRevokeOptions,
): string {
  if (disconnected > 0)
    return `; ${plural(disconnected, 'worker')} that joined with it ${disconnected === 1 ? 'was' : 'were'} sent away`;
  if (!isLive) return '';
  return disconnect
    ? '; nobody was there who had joined with it'
    : '; who has joined with it stays until it loses its connection';
}
