import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FailedAttempts } from '../src/access/failed-attempts.js';
import { TokenBook, type TokenPage } from '../src/access/token-book.js';
import { openTokenBook } from '../src/access/token-file.js';
import { createHttpServer } from '../src/http-server.js';
import { readLedger } from '../src/ledger.js';
import type { ClusterStatus } from '../src/status.js';
import { startTestCluster } from './cluster.js';
import { FakeClock } from './fake-clock.js';
import { temporaryDirectory } from './fixtures.js';
import { ScriptedWorker } from './scripted-worker.js';

const HOUR_MS = 3_600_000;

function bookAt(start = Date.UTC(2026, 0, 1)) {
  const saved: TokenPage[] = [];
  const time = { nowMs: start };
  const save = async (page: TokenPage) => void saved.push(page);
  const book = new TokenBook({ tokens: [], runSecret: 'secret of the run' }, save, () => time.nowMs);
  return { book, saved, time };
}

describe('a book of tokens', () => {
  it('gives every token an id of its own, and shows no secret', async () => {
    const { book, saved } = bookAt();
    const first = await book.create({ name: 'join', role: 'worker' });
    const second = await book.create({ name: 'ops', role: 'operator' });
    expect([first.id, second.id]).toEqual(['t1', 't2']);
    expect(first.secret).not.toBe(second.secret);
    expect(saved).toHaveLength(2);
    expect(JSON.stringify(book.summaries)).not.toContain(first.secret);
    expect(book.newest('worker')?.id).toBe('t1');
    expect(book.newest('observer')).toBeUndefined();
  });

  it('ends a token at its time, and when it is revoked, and knows it still', async () => {
    const { book, time } = bookAt();
    const short = await book.create({ name: 'short', role: 'worker', validMs: HOUR_MS });
    const long = await book.create({ name: 'long', role: 'worker' });
    time.nowMs += HOUR_MS;
    await book.revoke('long');
    const stateOf = ({ secret }: { secret: string }) => book.state(book.match((known) => known === secret)!);
    expect([stateOf(short), stateOf(long)]).toEqual(['expired', 'revoked']);
    expect(book.newest('worker')).toBeUndefined();
    await expect(book.revoke('t2')).rejects.toMatchObject({ code: 'USAGE' });
    expect((await book.create({ name: 'next', role: 'worker' })).id).toBe('t3');
  });

  it('rotates: the new one has the same name and role, the old one works as long as it is given', async () => {
    const { book, time } = bookAt();
    const old = await book.create({ name: 'join', role: 'worker' });
    const { fresh } = await book.rotate('join', HOUR_MS);
    expect(fresh).toMatchObject({ name: 'join', role: 'worker', id: 't2' });
    const isValid = ({ secret }: { secret: string }) => book.state(book.match((s) => s === secret)!) === 'valid';
    expect([isValid(old), isValid(fresh)]).toEqual([true, true]);
    await expect(book.revoke('join')).rejects.toMatchObject({ message: expect.stringContaining('several') });
    time.nowMs += HOUR_MS;
    expect([isValid(old), isValid(fresh)]).toEqual([false, true]);
  });

  it('keeps the last token of an operator', async () => {
    const { book } = bookAt();
    await book.create({ name: 'ops', role: 'operator' });
    await expect(book.revoke('ops')).rejects.toMatchObject({ code: 'USAGE', hint: expect.stringContaining('Rotate') });
    await book.rotate('ops', 0);
    expect(book.newest('operator')?.id).toBe('t2');
  });

  it('stands in a file that only its owner can read, and comes back from it', async () => {
    const directory = await temporaryDirectory();
    const book = await openTokenBook(directory);
    const [one, two] = await Promise.all([
      book.create({ name: 'one', role: 'worker' }),
      book.create({ name: 'two', role: 'observer' }),
    ]);
    const file = join(directory, 'tokens.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const again = await openTokenBook(directory);
    expect(again.summaries).toEqual(book.summaries);
    expect(again.match((secret) => secret === one.secret)?.id).toBe('t1');
    expect(again.returnKey('w1')).toBe(book.returnKey('w1'));
    expect(again.isReturnKey(book.returnKey('w1'), 'w2')).toBe(false);
    expect(again.standing.publicKey).toBe(book.standing.publicKey);
    expect((await openTokenBook(await temporaryDirectory())).standing.publicKey).not.toBe(book.standing.publicKey);
    expect(JSON.parse(await readFile(file, 'utf8')).tokens[1].secret).toBe(two.secret);
  });
});

describe('tokens over HTTP', () => {
  const ask = async (
    role: 'worker' | 'observer' | 'operator' | undefined,
    remoteAddress = '127.0.0.1',
    url = '/tokens',
  ) => {
    const { book } = bookAt();
    const created = await Promise.all(
      (['worker', 'observer', 'operator'] as const).map((each) => book.create({ name: each, role: each })),
    );
    const app = createHttpServer({
      tokens: book,
      failures: new FailedAttempts(new FakeClock()),
      tokenActions: { created() {}, revoked: () => 0, textOf: ({ secret }) => secret },
      status: () => ({}) as ClusterStatus,
      drain: () => undefined,
    });
    const secret = created.find((token) => token.role === role)?.secret;
    const headers = secret === undefined ? {} : { authorization: `Bearer ${secret}` };
    const method = url === '/tokens' ? 'GET' : 'POST';
    const { statusCode, body } = await app.inject({ method, url, remoteAddress, headers });
    await app.close();
    return { statusCode, body, secrets: created.map((token) => token.secret) };
  };

  it('are for operators alone, on this machine too', async () => {
    for (const role of ['worker', 'observer', undefined] as const) expect((await ask(role)).statusCode).toBe(401);
    const { statusCode, body, secrets } = await ask('operator');
    expect(statusCode).toBe(200);
    for (const secret of secrets) expect(body).not.toContain(secret);
  });

  it('are not spoken of through a network in the clear', async () => {
    expect((await ask('operator', '192.0.2.7')).statusCode).toBe(403);
  });

  it('say what is wrong with a wish', async () => {
    const { statusCode, body } = await ask('operator', '127.0.0.1', '/tokens/t9/revoke');
    expect([statusCode, JSON.parse(body).code]).toEqual([409, 'USAGE']);
  });
});

describe('a coordinator', () => {
  it.each(['revoked', 'rotated'])(
    'goes on with who had joined with a token that was %s, and does not take it back',
    async (how) => {
      const { book } = bookAt(Date.now());
      const { secret } = await book.create({ name: 'join', role: 'worker' });
      const cluster = await startTestCluster({ tokens: book });
      const worker = await ScriptedWorker.join(cluster.url, secret, 'one');
      await worker.ready();
      await worker.nextView();
      if (how === 'revoked') await book.revoke('join');
      else await book.rotate('join', 0);
      await worker.report(1);
      expect(await cluster.events.nth('step')).toMatchObject({ step: 1 });
      await worker.close();
      await cluster.events.nth('worker-lost');
      const again = await ScriptedWorker.connect(cluster.url, 'one');
      const { workerId } = worker;
      await again.sayHello(secret, undefined, {
        runId: 'test-run',
        workerId,
        generation: 1,
        key: book.returnKey(workerId),
      });
      expect(await again.next('refused')).toMatchObject({ code: 'TOKEN_WRONG' });
    },
  );

  it('takes each valid token of a worker, writes down which, and says why it refuses the others', async () => {
    const { book, time } = bookAt(Date.now());
    const join1 = await book.create({ name: 'join', role: 'worker' });
    const lab = await book.create({ name: 'lab', role: 'worker' });
    const brief = await book.create({ name: 'brief', role: 'worker', validMs: HOUR_MS });
    const eye = await book.create({ name: 'eye', role: 'observer' });
    const cluster = await startTestCluster({ tokens: book });
    await ScriptedWorker.join(cluster.url, join1.secret, 'one');
    await ScriptedWorker.join(cluster.url, lab.secret, 'two');
    await book.revoke('lab');
    time.nowMs += HOUR_MS;
    const refusalOf = async ({ secret }: { secret: string }) => {
      const worker = await ScriptedWorker.connect(cluster.url);
      await worker.sayHello(secret);
      return worker.next('refused');
    };
    expect(await refusalOf(lab)).toMatchObject({ code: 'TOKEN_WRONG', message: expect.stringContaining('t2 (lab)') });
    expect(await refusalOf(brief)).toMatchObject({ message: expect.stringContaining('valid until') });
    expect(await refusalOf(eye)).toMatchObject({ message: expect.stringContaining('observer') });
    await cluster.coordinator.close();
    const { entries } = await ledgerOf(cluster.runDir);
    const joined = entries.flatMap((entry) => (entry.type === 'worker-joined' ? [[entry.name, entry.tokenId]] : []));
    expect(joined).toEqual([
      ['one', 't1'],
      ['two', 't2'],
    ]);
  });

  it('sends away who joined with a revoked token, if it is asked to, and nobody else', async () => {
    const { book } = bookAt(Date.now());
    const [mine, theirs] = await Promise.all([
      book.create({ name: 'mine', role: 'worker' }),
      book.create({ name: 'theirs', role: 'worker' }),
    ]);
    const operator = await book.create({ name: 'ops', role: 'operator' });
    const cluster = await startTestCluster({ tokens: book });
    const stays = await ScriptedWorker.join(cluster.url, mine.secret, 'stays');
    const goes = await ScriptedWorker.join(cluster.url, theirs.secret, 'goes');
    const { port } = cluster.coordinator.endpoint;
    const response = await fetch(`http://127.0.0.1:${port}/tokens/theirs/revoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${operator.secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ disconnect: true }),
    });
    expect(await response.json()).toMatchObject({ token: { id: 't2' }, disconnected: 1 });
    expect(await goes.next('expelled')).toMatchObject({ code: 'TOKEN_WRONG' });
    await stays.ready();
    await stays.nextView();
    const { entries } = await ledgerOf(cluster.runDir);
    expect(entries).toContainEqual(expect.objectContaining({ type: 'token-revoked', tokenId: 't2', disconnected: 1 }));
    expect(JSON.stringify(entries)).not.toContain(theirs.secret);
  });
});

async function ledgerOf(runDir: string) {
  const records = await readLedger(join(runDir, 'ledger.jsonl'));
  return { entries: records.map(({ entry }) => entry) };
}
