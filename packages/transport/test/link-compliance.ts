/** What every Link promises. Each implementation runs this suite with its own way to make a connected pair. */
import { isCoordError } from '@coord/protocol';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Link } from '../src/link.js';

export interface LinkFixture {
  readonly a: Link;
  readonly b: Link;
  /** Loses the connection without a goodbye. */
  cut(): void;
  /** Ends whatever the fixture started. */
  dispose(): Promise<void>;
}

/** Largest message of the fixtures' links. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

const text = (message: Uint8Array): string => Buffer.from(message).toString();
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

export function testLink(name: string, create: () => Promise<LinkFixture>): void {
  describe(`a ${name} link`, () => {
    const fixtures: LinkFixture[] = [];
    const open = async () => {
      const fixture = await create();
      fixtures.push(fixture);
      return fixture;
    };
    afterEach(async () => {
      for (const fixture of fixtures.splice(0)) await fixture.dispose();
    });

    it('delivers messages in order, both ways, with their boundaries', async () => {
      const { a, b } = await open();
      const sizes = [0, 1, 125, 126, 127, 65535, 65536, 300_000];
      for (const [from, to] of [
        [a, b],
        [b, a],
      ]) {
        const received = sizes.map(() => to.receive());
        for (const size of sizes) await from.send(new Uint8Array(size).fill(size % 251));
        for (const [index, message] of (await Promise.all(received)).entries()) {
          expect(message.byteLength).toBe(sizes[index]);
          expect(message.every((byte) => byte === sizes[index] % 251)).toBe(true);
        }
      }
    });

    it('delivers any sequence of messages unchanged', async () => {
      const { a, b } = await open();
      await fc.assert(
        fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 30 }), async (messages) => {
          const sent = Promise.all(messages.map((message) => a.send(message)));
          for (const message of messages) expect(Buffer.from(await b.receive()).equals(message)).toBe(true);
          await sent;
        }),
        { numRuns: 20 },
      );
    });

    it('keeps what arrives before a reader comes', async () => {
      const { a, b } = await open();
      for (const word of ['one', 'two', 'three']) await a.send(bytes(word));
      await b.send(bytes('reply'));
      await a.receive();
      expect(text(await b.receive())).toBe('one');
      expect(text(await b.receive())).toBe('two');
      expect(text(await b.receive())).toBe('three');
    });

    it('lets the sender reuse its buffer once send has resolved', async () => {
      const { a, b } = await open();
      const buffer = bytes('first');
      await a.send(buffer);
      buffer.set(bytes('other'));
      await a.send(buffer);
      expect(text(await b.receive())).toBe('first');
      expect(text(await b.receive())).toBe('other');
    });

    it('delivers everything sent before a close, then rejects with the reason', async () => {
      const { a, b } = await open();
      await a.send(bytes('last words'));
      await a.close('the work is done');
      expect(text(await b.receive())).toBe('last words');
      await expect(b.receive()).rejects.toMatchObject({
        code: 'LINK_CLOSED',
        message: expect.stringContaining('the work is done'),
      });
      expect(await b.closed).toEqual({ clean: true, reason: 'the work is done' });
      expect((await a.closed).clean).toBe(true);
    });

    it('rejects sends and outstanding receives after a close by either end', async () => {
      const { a, b } = await open();
      const waitingHere = a.receive();
      const waitingThere = b.receive();
      const outcomes = Promise.allSettled([waitingHere, waitingThere]);
      await a.close();
      for (const outcome of await outcomes) {
        expect(outcome.status === 'rejected' && isCoordError(outcome.reason, 'LINK_CLOSED')).toBe(true);
      }
      await expect(a.send(bytes('late'))).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      await b.closed;
      await expect(b.send(bytes('late'))).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    });

    it('may be closed twice and by both ends at once', async () => {
      const { a, b } = await open();
      await Promise.all([a.close('first'), a.close('second'), b.close('third')]);
      expect((await a.closed).clean).toBe(true);
      expect((await b.closed).clean).toBe(true);
    });

    it('reports a lost connection as unclean at both ends', async () => {
      const { a, b, cut } = await open();
      const waiting = expect(a.receive()).rejects.toMatchObject({ code: 'LINK_CLOSED', facts: { clean: false } });
      cut();
      await waiting;
      expect((await a.closed).clean).toBe(false);
      expect((await b.closed).clean).toBe(false);
      await expect(b.receive()).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    });

    it('refuses to send a message above its limit, and stays usable', async () => {
      const { a, b } = await open();
      await expect(a.send(new Uint8Array(MAX_MESSAGE_BYTES + 1))).rejects.toMatchObject({
        code: 'FRAME_TOO_LARGE',
        facts: { limitBytes: MAX_MESSAGE_BYTES },
      });
      await a.send(new Uint8Array(MAX_MESSAGE_BYTES));
      expect((await b.receive()).byteLength).toBe(MAX_MESSAGE_BYTES);
    });

    it('survives a flood that is read late, without loss', async () => {
      const { a, b } = await open();
      const count = 48;
      const flood = Promise.all(
        Array.from({ length: count }, (_, index) => a.send(new Uint8Array(MAX_MESSAGE_BYTES).fill(index))),
      );
      for (let index = 0; index < count; index++) {
        const message = await b.receive();
        expect(message[0]).toBe(index);
        expect(message[message.length - 1]).toBe(index);
      }
      await flood;
    });

    it('names both ends', async () => {
      const { a, b } = await open();
      for (const link of [a, b]) {
        expect(link.remote).not.toBe('');
        expect(link.localAddress).not.toBe('');
      }
    });
  });
}
