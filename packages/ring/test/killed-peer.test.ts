import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Endpoint, ErrorRecord } from '@coord/protocol';
import { afterEach, describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('./ring-child.mjs', import.meta.url));

type Message =
  | { readonly type: 'listening'; readonly endpoint: Endpoint }
  | { readonly type: 'running' }
  | { readonly type: 'done'; readonly right: number }
  | { readonly type: 'failed'; readonly error: ErrorRecord; readonly right: number };

/** Views of eight ranks, of which one is killed; long form: `npm run soak:ring`. */
const { COORD_RING_OPERATIONS, COORD_RING_SEED = '0' } = process.env;
const OPERATIONS = Number(COORD_RING_OPERATIONS ?? 20);
const OPERATIONS_PER_VIEW = 40;

interface More {
  readonly operations?: number;
  readonly longest?: number;
  readonly seed?: number;
}

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const start = (rank: number, size: number, timeoutMs: number, more: More = {}): ChildProcess => {
  const child = fork(PROGRAM, [JSON.stringify({ rank, size, timeoutMs, ...more })]);
  children.push(child);
  return child;
};

const message = async <T extends Message['type']>(child: ChildProcess, type: T): Promise<Message & { type: T }> => {
  for (;;) {
    const [received] = (await once(child, 'message')) as [Message];
    if (received.type === type) return received as Message & { type: T };
  }
};

async function startRing(size: number, timeoutMs: number, more: More = {}): Promise<ChildProcess[]> {
  const ranks = Array.from({ length: size }, (_, rank) => start(rank, size, timeoutMs, more));
  const listening = await Promise.all(ranks.map((rank) => message(rank, 'listening')));
  const running = ranks.map((rank) => message(rank, 'running'));
  for (const rank of ranks) rank.send(listening.map(({ endpoint }) => endpoint));
  await Promise.all(running);
  return ranks;
}

/** How a rank ends that is not killed: with right sums, or with a typed error; and by itself. */
async function ending(rank: ChildProcess): Promise<number> {
  const exited = once(rank, 'exit');
  const [last] = await Promise.race(['done', 'failed'].map(async (type) => [await message(rank, type as 'done')]));
  const { right, error } = last as { right: number; error?: ErrorRecord };
  if (error) expect(['RING_BROKEN', 'RING_TIMEOUT']).toContain(error.code);
  expect((await exited)[0]).toBe(0);
  return right;
}

describe('a ring of processes', () => {
  it('of eight ranks, with buffers of any length and ranks that come late, survives kill after kill', async () => {
    let right = 0;
    for (let view = 0; right < OPERATIONS; view++) {
      const seed = Number(COORD_RING_SEED) * 1000 + view;
      const more = { operations: OPERATIONS_PER_VIEW, longest: COORD_RING_OPERATIONS ? 300_000 : 3000, seed };
      const ranks = await startRing(8, 60_000, more);
      const killed = seed % 8;
      const survivors = ranks.filter((_, rank) => rank !== killed);
      const endings = Promise.all(survivors.map(ending));
      setTimeout(() => ranks[killed].kill('SIGKILL'), 30 + ((seed * 37) % 150));
      right += Math.max(...(await endings));
    }
    expect(right).toBeGreaterThanOrEqual(OPERATIONS);
  }, 3_600_000);

  it('survives the SIGKILL of one: the others fail with RING_BROKEN, long before the time-out, and end by themselves', async () => {
    // The time-out lies beyond the test's own limit: only the lost connection can be what they notice.
    const [first, killed, third] = await startRing(3, 600_000);
    const failures = Promise.all([first, third].map((rank) => message(rank, 'failed')));
    const exits = Promise.all([first, third].map((rank) => once(rank, 'exit')));
    killed.kill('SIGKILL');
    for (const { error } of await failures) {
      expect(error).toMatchObject({ code: 'RING_BROKEN', facts: { operation: 'sum' } });
    }
    for (const [code] of await exits) expect(code).toBe(0);
  });

  it('notices a peer that is stopped and says nothing: RING_TIMEOUT or RING_BROKEN', async () => {
    const [first, stopped, third] = await startRing(3, 300);
    const failures = Promise.all([first, third].map((rank) => message(rank, 'failed')));
    stopped.kill('SIGSTOP');
    const errors = (await failures).map(({ error }) => error);
    // Whoever waits for the stopped rank times out; the other may learn it from the neighbour's closing first.
    expect(errors.map(({ code }) => code)).toContain('RING_TIMEOUT');
    for (const { code } of errors) expect(['RING_TIMEOUT', 'RING_BROKEN']).toContain(code);
  });
});
