/**
 * Where tokens are ruled over: a running coordinator, asked over HTTP with an operator's token, or the run directory of one that
 * does not run.
 */
import { join } from 'node:path';
import { LEDGER_FILE, lockRun, openLedger, openTokenBook, type TokenBook, type TokenRecord } from '@coord/coordinator';
import { formatToken, isCoordError, systemClock } from '@coord/protocol';
import { z } from 'zod';
import { loadCertificate } from './certificate-files.js';
import { readCoordinatorRecord } from './coordinator-file.js';
import { coordinatorOfRun, isAddress } from './find-coordinator.js';
import type { CommandIo } from './io.js';
import type { TokenOptions } from './options.js';
import { readRunRecord } from './run-directory.js';
import { askCoordinator, coordinatorUrl, type Question, refusalIn } from './status-client.js';
import { findToken, requireToken } from './token.js';

const shownSchema = z.object({
  id: z.string(),
  name: z.string(),
  role: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().optional(),
  revokedAt: z.string().optional(),
  state: z.string().optional(),
});
export type ShownToken = z.infer<typeof shownSchema>;

const createdSchema = z.object({ token: shownSchema, text: z.string() });
const revokedSchema = z.object({ token: shownSchema, disconnected: z.number() });
const rotatedSchema = createdSchema.extend({ old: shownSchema, disconnected: z.number() });
export type RevokedToken = z.infer<typeof revokedSchema>;

export interface Wish {
  readonly name: string;
  readonly role: TokenRecord['role'];
  readonly validMs?: number | undefined;
}

export interface TokenDesk {
  /** A coordinator hears of it at once. */
  readonly isLive: boolean;
  list(): Promise<ShownToken[]>;
  create(wish: Wish): Promise<z.infer<typeof createdSchema>>;
  revoke(who: string, disconnect: boolean): Promise<RevokedToken>;
  rotate(who: string, graceMs: number, disconnect: boolean): Promise<z.infer<typeof rotatedSchema>>;
}

/**
 * @param where a run directory, or the address of a coordinator.
 * @throws CoordError USAGE, CHECKPOINT_NOT_FOUND (no run directory), UNREACHABLE, TOKEN_WRONG, CERTIFICATE_WRONG.
 */
export async function withTokenDesk<T>(
  where: string,
  options: TokenOptions,
  io: CommandIo,
  act: (desk: TokenDesk) => Promise<T>,
): Promise<T> {
  if (isAddress(where)) return act(liveDesk(where, requireToken(options.token, io.env)));
  await readRunRecord(where);
  try {
    return await withClosedRun(where, act);
  } catch (error) {
    if (!isCoordError(error, 'RUN_LOCKED')) throw error;
    const { address, token } = await coordinatorOfRun(where, findToken(options.token, io.env));
    return act(liveDesk(address, token));
  }
}

function liveDesk(address: string, token: string): TokenDesk {
  const ask = async <S extends z.ZodType>(path: string, schema: S, question?: Question): Promise<z.infer<S>> => {
    const { status, body } = await askCoordinator(coordinatorUrl(address, path, token), token, question);
    const answer = schema.safeParse(body);
    if (status === 200 && answer.success) return answer.data;
    throw refusalIn(body, 'the coordinator did not do it');
  };
  const post = <S extends z.ZodType>(path: string, schema: S, body: object) =>
    ask(path, schema, { method: 'POST', body });
  const of = (who: string) => `/tokens/${encodeURIComponent(who)}`;
  return {
    isLive: true,
    list: async () => (await ask('/tokens', z.object({ tokens: z.array(shownSchema) }))).tokens,
    create: (wish) => post('/tokens', createdSchema, wish),
    revoke: (who, disconnect) => post(`${of(who)}/revoke`, revokedSchema, { disconnect }),
    rotate: (who, graceMs, disconnect) => post(`${of(who)}/rotate`, rotatedSchema, { graceMs, disconnect }),
  };
}

/** Nobody starts the run while its tokens change; what is done stands in the ledger, as if a coordinator had done it. */
async function withClosedRun<T>(runDir: string, act: (desk: TokenDesk) => Promise<T>): Promise<T> {
  const lock = await lockRun(runDir);
  try {
    const ledger = await openLedger(join(runDir, LEDGER_FILE), { clock: systemClock });
    try {
      return await act(await closedDesk(runDir, await openTokenBook(runDir), ledger));
    } finally {
      await ledger.close();
    }
  } finally {
    lock.release();
  }
}

type OpenLedger = Awaited<ReturnType<typeof openLedger>>;

async function closedDesk(runDir: string, book: TokenBook, ledger: OpenLedger): Promise<TokenDesk> {
  const files = (await readCoordinatorRecord(runDir))?.certificate;
  const certificateSha256 = files && (await loadCertificate(runDir, files)).sha256;
  const created = ({ id: tokenId, name, role, expiresAt }: TokenRecord) =>
    ledger.append({ type: 'token-created', tokenId, name, role, expiresAt });
  const revoked = ({ id: tokenId, name, expiresAt }: TokenRecord) =>
    ledger.append({ type: 'token-revoked', tokenId, name, expiresAt, disconnected: 0 });
  const { config } = await readRunRecord(runDir);
  const standingKey = config.transport === 'nats' ? book.standing.publicKey : undefined;
  const textOf = ({ secret }: TokenRecord) => formatToken({ secret, certificateSha256, standingKey });
  return {
    isLive: false,
    list: async () => book.summaries,
    async create(wish) {
      const token = await book.create(wish);
      created(token);
      return { token: shownSchema.parse(token), text: textOf(token) };
    },
    async revoke(who) {
      const token = await book.revoke(who);
      revoked(token);
      return { token: shownSchema.parse(token), disconnected: 0 };
    },
    async rotate(who, graceMs) {
      const { old, fresh } = await book.rotate(who, graceMs);
      created(fresh);
      revoked(old);
      // Without their secrets: the new one is in the text, the old one is nobody's business.
      const [token, former] = [fresh, old].map((one) => shownSchema.parse(one));
      return { token, text: textOf(fresh), old: former, disconnected: 0 };
    },
  };
}
