/** `coord token` over HTTP, for operators. */
import { toErrorRecord } from '@coord/protocol';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { type AccessOptions, type AccessRule, access } from './http-access.js';
import { TOKEN_ROLES, type TokenRecord, tokenRecordSchema } from './token-record.js';

const RULE: AccessRule = { roles: ['operator'], openToLoopback: false, isSecret: true, refusesPages: true };

const MAX_MS = 10 * 365 * 24 * 60 * 60 * 1000;
const durationMs = z.number().int().min(0).max(MAX_MS);

const createSchema = z.object({
  name: tokenRecordSchema.shape.name,
  role: z.enum(TOKEN_ROLES),
  validMs: durationMs.min(1).optional(),
});
const revokeSchema = z.object({ disconnect: z.boolean().default(false) });
const rotateSchema = revokeSchema.extend({ graceMs: durationMs.default(0) });

export interface TokenActions {
  created(token: TokenRecord): void;
  /** @returns workers that were sent away because they had joined with it. */
  revoked(token: TokenRecord, disconnect: boolean): number;
  /** The token as people paste it. */
  textOf(token: TokenRecord): string;
}

interface Target {
  Params: { id: string };
}

export function addTokenRoutes(app: FastifyInstance, options: AccessOptions, actions: TokenActions): void {
  const { tokens } = options;
  const onRequest = access(RULE, options);
  const shown = ({ secret: _, ...token }: TokenRecord) => token;
  app.get('/tokens', { onRequest }, async () => ({ tokens: tokens.summaries }));
  app.post('/tokens', { onRequest }, ({ body }, reply) =>
    answer(reply, async () => {
      const token = await tokens.create(createSchema.parse(body));
      actions.created(token);
      return { token: shown(token), text: actions.textOf(token) };
    }),
  );
  app.post<Target>('/tokens/:id/revoke', { onRequest }, ({ params, body }, reply) =>
    answer(reply, async () => {
      const { disconnect } = revokeSchema.parse(body ?? {});
      const token = await tokens.revoke(params.id);
      return { token: shown(token), disconnected: actions.revoked(token, disconnect) };
    }),
  );
  app.post<Target>('/tokens/:id/rotate', { onRequest }, ({ params, body }, reply) =>
    answer(reply, async () => {
      const { disconnect, graceMs } = rotateSchema.parse(body ?? {});
      const { old, fresh } = await tokens.rotate(params.id, graceMs);
      actions.created(fresh);
      const disconnected = actions.revoked(old, disconnect);
      return { token: shown(fresh), text: actions.textOf(fresh), old: shown(old), disconnected };
    }),
  );
}

async function answer(reply: FastifyReply, act: () => Promise<object>): Promise<unknown> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof z.ZodError) {
      const [{ path, message }] = error.issues;
      return reply.code(400).send({ code: 'USAGE', message: `${path.join('.') || 'the request'}: ${message}` });
    }
    const { code, message, hint } = toErrorRecord(error);
    return reply.code(409).send({ code, message, hint });
  }
}
