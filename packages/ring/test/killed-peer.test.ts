import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Endpoint, ErrorRecord } from '@coord/protocol';
import { afterEach, describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('./ring-child.mjs', import.meta.url));

type Message =
  | { readonly type: 'listening'; readonly endpoint: Endpoint }
  | { readonly type: 'running' }
  | { readonly type: 'failed'; readonly error: ErrorRecord };

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const start = (rank: number, size: number, timeoutMs: number): ChildProcess => {
  const child = fork(PROGRAM, [JSON.stringify({ rank, size, timeoutMs })]);
  children.push(child);
  return child;
};

const message = async <T extends Message['type']>(child: ChildProcess, type: T): Promise<Message & { type: T }> => {
  for (;;) {
    const [received] = (await once(child, 'message')) as [Message];
    if (received.type === type) return received as Message & { type: T };
  }
};

async function startRing(size: number, timeoutMs: number): Promise<ChildProcess[]> {
  const ranks = Array.from({ length: size }, (_, rank) => start(rank, size, timeoutMs));
  const listening = await Promise.all(ranks.map((rank) => message(rank, 'listening')));
  const running = ranks.map((rank) => message(rank, 'running'));
  for (const rank of ranks) rank.send(listening.map(({ endpoint }) => endpoint));
  await Promise.all(running);
  return ranks;
}

describe('a ring of processes', () => {
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
