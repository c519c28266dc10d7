import { describe, expect, it } from 'vitest';
import { createLinkPair } from '../src/memory-link.js';
import { VirtualClock } from '../src/virtual-clock.js';
import { MAX_MESSAGE_BYTES, testLink } from './link-compliance.js';

const fixture = (latencyMs: number) => async () => {
  const [a, b] = createLinkPair({ latencyMs, maxMessageBytes: MAX_MESSAGE_BYTES });
  return { a, b, cut: () => a.cut(), dispose: async () => a.cut() };
};

testLink('memory', fixture(0));
testLink('memory (2 ms away)', fixture(2));

describe('an in-memory link with a clock', () => {
  it('delivers after the latency and not before', async () => {
    const clock = new VirtualClock();
    const [a, b] = createLinkPair({ latencyMs: 100, clock });
    let arrived = false;
    const received = b.receive().then(() => {
      arrived = true;
    });
    await a.send(new Uint8Array(1));
    await clock.pass(99);
    expect(arrived).toBe(false);
    await clock.pass(1);
    await received;
  });

  it('takes the time that its line rate demands', async () => {
    const clock = new VirtualClock();
    const [a, b] = createLinkPair({ bytesPerSecond: 1000, clock });
    let arrived = 0;
    for (let count = 0; count < 3; count++) void b.receive().then(() => arrived++);
    for (let count = 0; count < 3; count++) await a.send(new Uint8Array(500));
    await clock.pass(999);
    expect(arrived).toBe(1);
    await clock.pass(501);
    expect(arrived).toBe(3);
  });

  it('holds the sender back when its buffer is full', async () => {
    const [a, b] = createLinkPair({ capacityBytes: 100 });
    await a.send(new Uint8Array(100));
    let sent = false;
    const second = a.send(new Uint8Array(1)).then(() => {
      sent = true;
    });
    await new Promise(setImmediate);
    expect(sent).toBe(false);
    await b.receive();
    await second;
  });

  it('loses what is under way when it is cut, and cancels its timers', async () => {
    const clock = new VirtualClock();
    const [a, b] = createLinkPair({ latencyMs: 10, clock });
    await a.send(new Uint8Array(1));
    a.cut();
    await expect(b.receive()).rejects.toMatchObject({ code: 'LINK_CLOSED', facts: { clean: false } });
    expect(clock.pending).toBe(0);
  });
});
