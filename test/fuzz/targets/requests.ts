/** What operators ask over HTTP: bodies and paths behind the right token, and heads with a wrong one. */
import assert from 'node:assert/strict';
import { CoordError } from '@coord/protocol';
import { FailedAttempts } from '../../../packages/coordinator/src/access/failed-attempts.js';
import { TokenBook } from '../../../packages/coordinator/src/access/token-book.js';
import { createHttpServer } from '../../../packages/coordinator/src/http-server.js';
import type { ClusterStatus } from '../../../packages/coordinator/src/status.js';
import type { FuzzTarget } from '../fuzz.js';
import { type Chance, mutateBytes, mutateValue } from '../mutate.js';

const SECRET = 'secret-of-an-operator';
/** A minute apart, so that nobody is shut out for guessing. */
let nowMs = 0;
const clock = { nowMs: () => (nowMs += 60_000), after: () => () => {} };

async function serverOfOneRun() {
  const tokens = new TokenBook(
    { tokens: [], runSecret: 'secret of the run' },
    async () => {},
    () => 1e12,
  );
  await tokens.create({ name: 'operator', role: 'operator', secret: SECRET });
  await tokens.create({ name: 'join', role: 'worker', secret: 'secret-of-a-worker' });
  const app = createHttpServer({
    tokens,
    failures: new FailedAttempts(clock),
    tokenActions: { created() {}, revoked: () => 0, textOf: ({ secret }) => secret },
    status: () => ({ step: 3 }) as ClusterStatus,
    drain: () => undefined,
  });
  return { app, tokens };
}

const REQUESTS = [
  { url: '/tokens', body: { name: 'lab 2', role: 'observer', validMs: 1000 } },
  { url: '/tokens/join/rotate', body: { graceMs: 5, disconnect: false } },
  { url: '/tokens/t2/revoke', body: { disconnect: true } },
  { url: '/drain/w1', body: {} },
] as const;

type Server = Awaited<ReturnType<typeof serverOfOneRun>>;
interface Request {
  readonly url: string;
  readonly payload: string;
  readonly secret?: string;
}

const post = ({ app }: Server, { url, payload, secret = SECRET }: Request) =>
  app.inject({
    method: 'POST',
    url,
    payload,
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    remoteAddress: '127.0.0.1',
  });

/** A few hundred requests each, so that tokens that were made do not fill the book. */
const SERVER_USES = 200;
let [server, uses] = [await serverOfOneRun(), 0];

async function currentServer(): Promise<Server> {
  if (++uses % SERVER_USES === 0) {
    await server.app.close();
    server = await serverOfOneRun();
  }
  return server;
}

async function ask(chance: Chance): Promise<void> {
  const { url, body } = chance.pick(REQUESTS);
  const text = JSON.stringify(body);
  const isBytes = chance.below(2) === 0;
  const payload = isBytes
    ? mutateBytes([Buffer.from(text)], chance).toString('utf8')
    : JSON.stringify(mutateValue(body, chance));
  const path = chance.below(4) === 0 ? pathFrom(mutateBytes([Buffer.from(url)], chance), url) : url;
  const secret = chance.below(8) === 0 ? visible(mutateBytes([Buffer.from(SECRET)], chance)) : SECRET;
  const target = await currentServer();
  const before = JSON.stringify(target.tokens.summaries);
  const { statusCode } = await post(target, { url: path, payload: payload ?? '', secret });
  assert.ok(statusCode < 500, `status ${statusCode}`);
  if (secret !== SECRET) assert.equal(JSON.stringify(target.tokens.summaries), before, 'tokens changed for a stranger');
  if (statusCode !== 200) throw new CoordError('USAGE', `status ${statusCode}`);
}

/** What can stand in a head of HTTP. */
const visible = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^\x21-\x7e]/g, '%');

/** The client that asks in tests takes URLs alone. */
function pathFrom(bytes: Uint8Array, otherwise: string): string {
  const path = `/${visible(bytes).replace(/^\/+/, '')}`;
  return URL.canParse(path, 'http://localhost') ? path : otherwise;
}

export const REQUEST_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'operator requests',
    run: ask,
    async control() {
      const own = await serverOfOneRun();
      for (const { url, body } of REQUESTS.slice(0, 2)) {
        const { statusCode } = await post(own, { url, payload: JSON.stringify(body) });
        assert.equal(statusCode, 200);
      }
      const names = own.tokens.summaries.map(({ name, state }) => `${name} ${state}`);
      assert.deepEqual(names, ['operator valid', 'join valid', 'lab 2 valid', 'join valid']);
      const { statusCode } = await post(own, { url: '/tokens', payload: '{}', secret: 'wrong' });
      assert.equal(statusCode, 401);
      await own.app.close();
    },
  },
];
