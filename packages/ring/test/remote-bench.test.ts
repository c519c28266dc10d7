import { createNonce, LIMITS } from '@coord/protocol';
import { connectLink } from '@coord/transport';
import { describe, expect, it } from 'vitest';
import { type AllReduceRow, benchAllReduce } from '../src/bench/all-reduce.js';
import { joinBench } from '../src/bench/remote-join.js';
import { BENCH_PATH, benchProof, challengeSchema, hear, tell } from '../src/bench/remote-messages.js';

const token = 'token of the test';
const options = { transport: 'ws', sizes: [4, 300_000], rounds: 1, turnMs: 5, against: [] } as const;

/** A bench that waits for others: its address, and its end. */
function lead(ranks: number, wires: readonly ('int32' | 'int16')[] = ['int32'], tls = false) {
  const refused: string[] = [];
  let rows: Promise<AllReduceRow[]> | undefined;
  const url = new Promise<string>((resolve) => {
    const hosts = {
      listen: { host: '127.0.0.1', port: 0 },
      token,
      onListening: ({ port }: { port: number }) => resolve(`ws://127.0.0.1:${port}`),
      onRefused: ({ code }: { code: string }) => refused.push(code),
    };
    rows = benchAllReduce({ ...options, ranks, wires, hosts, tls });
    rows.catch(() => {});
  });
  return { url, refused, rows: () => rows as Promise<AllReduceRow[]> };
}

describe('a bench between machines', () => {
  it('takes whoever knows the token, reduces in every wire format, and sends all home', async () => {
    const bench = lead(3, ['int32', 'int16']);
    const url = await bench.url;
    await expect(joinBench({ url, token: 'another token' })).rejects.toMatchObject({ code: 'TOKEN_WRONG' });
    const joined = [joinBench({ url, token }), joinBench({ url, token })];
    const rows = await bench.rows();
    expect(rows.map(({ bytes, wire, ranks, wrong }) => ({ bytes, wire, ranks, wrong }))).toEqual(
      [4, 300_000].flatMap((bytes) => [
        { bytes, wire: 'int32', ranks: 3, wrong: 0 },
        { bytes, wire: 'int16', ranks: 3, wrong: 0 },
      ]),
    );
    await Promise.all(joined);
    expect(bench.refused).toEqual(['TOKEN_WRONG']);
  });

  it('encrypts the links between machines where it is asked to', async () => {
    const bench = lead(2, ['int32'], true);
    const joined = joinBench({ url: await bench.url, token });
    expect(await bench.rows()).toMatchObject([
      { transport: 'wss', wrong: 0 },
      { transport: 'wss', wrong: 0 },
    ]);
    await joined;
  });

  it('passes on, as a typed error, what a joined machine failed with', async () => {
    const bench = lead(2);
    const link = await connectLink((await bench.url) + BENCH_PATH, { timeoutMs: 5000 });
    const { nonce } = await hear(link, challengeSchema, LIMITS.handshakeBytes);
    const nonces = { lead: nonce, joined: createNonce() };
    await tell(link, { type: 'bench-hello', nonce: nonces.joined, proof: benchProof(token, 'joined', nonces) });
    await link.receive();
    await link.receive();
    await tell(link, { error: { code: 'PORT_IN_USE', message: 'port 1 is in use' } });
    await expect(bench.rows()).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining('port 1 is in use'),
      facts: { remote: expect.any(String) },
    });
    await link.close('done');
  });

  it('ends with an error when a machine that has joined is lost', async () => {
    const bench = lead(2);
    const link = await connectLink((await bench.url) + BENCH_PATH, { timeoutMs: 5000 });
    const { nonce } = await hear(link, challengeSchema, LIMITS.handshakeBytes);
    const nonces = { lead: nonce, joined: createNonce() };
    const proof = benchProof(token, 'joined', nonces);
    await tell(link, { type: 'bench-hello', nonce: nonces.joined, proof });
    await link.receive();
    await link.close('lost');
    await expect(bench.rows()).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  });

  it('refuses a wrong proof, and waits for the right machine', async () => {
    const bench = lead(2);
    const link = await connectLink((await bench.url) + BENCH_PATH, { timeoutMs: 5000 });
    await link.receive();
    await tell(link, { type: 'bench-hello', nonce: createNonce(), proof: createNonce() });
    await expect(link.receive()).resolves.toBeDefined();
    await expect(link.receive()).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    expect(bench.refused).toEqual(['TOKEN_WRONG']);
    const joined = joinBench({ url: await bench.url, token });
    await bench.rows();
    await joined;
  });
});
