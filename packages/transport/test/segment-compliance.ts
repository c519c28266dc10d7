/** What every segment link promises. Each implementation runs this suite with its own way to make a connected pair. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { SegmentReceiver, SegmentSender } from '../src/segment-link.js';

export interface SegmentFixture {
  readonly sender: SegmentSender;
  readonly receiver: SegmentReceiver;
  /** Loses the connection without a goodbye. */
  cut(): void;
  dispose(): Promise<void>;
}

function patterned(size: number, seed = size): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = index * 31 + seed;
  return bytes;
}

export function testSegmentLink(name: string, create: () => Promise<SegmentFixture>): void {
  describe(`a ${name} segment link`, () => {
    const fixtures: SegmentFixture[] = [];
    const open = async () => {
      const fixture = await create();
      fixtures.push(fixture);
      return fixture;
    };
    afterEach(async () => {
      for (const fixture of fixtures.splice(0)) await fixture.dispose();
    });

    it('fills buffers from frames, in order, whatever their sizes', async () => {
      const { sender, receiver } = await open();
      const sizes = [0, 1, 125, 126, 65535, 65536, 16384, 16383, 524288, 3_000_000, 7];
      const targets = sizes.map((size) => new Uint8Array(size));
      const received = targets.map((target) => receiver.receive([target]));
      for (const size of sizes) await sender.send(patterned(size));
      await Promise.all(received);
      targets.forEach((target, index) => {
        expect(Buffer.from(target).equals(patterned(sizes[index]))).toBe(true);
      });
    });

    it('keeps frames that come before anybody waits for them', async () => {
      const { sender, receiver } = await open();
      const sizes = [10, 0, 20_000, 300_000, 5, 70_000];
      const sent = Promise.all(sizes.map((size) => sender.send(patterned(size))));
      await new Promise(setImmediate);
      for (const size of sizes) {
        const target = new Uint8Array(size);
        await receiver.receive([target]);
        expect(Buffer.from(target).equals(patterned(size))).toBe(true);
      }
      await sent;
    });

    it('delivers any mixture of early and late readers, any split into parts and any spare room', async () => {
      const { sender, receiver } = await open();
      const frame = fc.record({
        parts: fc.array(fc.uint8Array({ maxLength: 40_000, size: 'max' }), { maxLength: 3 }),
        cut: fc.nat(100),
        spareBytes: fc.nat(100),
        early: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(frame, { maxLength: 12 }), async (frames) => {
          const sent: Promise<void>[] = [];
          for (const { parts, cut, spareBytes, early } of frames) {
            const whole = Buffer.concat(parts);
            const target = Buffer.alloc(whole.length + spareBytes).subarray(0, whole.length);
            const split = Math.min(cut, whole.length);
            const read = () => receiver.receive([target.subarray(0, split), target.subarray(split)], spareBytes);
            const received = early ? read() : undefined;
            sent.push(sender.send(...parts));
            if (!early) await new Promise(setImmediate);
            await (received ?? read());
            expect(target.equals(whole)).toBe(true);
          }
          await Promise.all(sent);
        }),
        { numRuns: 25 },
      );
    });

    it('lets the sender reuse its buffer once send has resolved', async () => {
      const { sender, receiver } = await open();
      const buffer = new Uint8Array(100_000);
      const targets = [0, 1, 2, 3].map(() => new Uint8Array(buffer.length));
      const received = targets.map((target) => receiver.receive([target]));
      for (let value = 0; value < targets.length; value++) {
        buffer.fill(value);
        await sender.send(buffer);
      }
      await Promise.all(received);
      targets.forEach((target, value) => {
        expect(target.every((byte) => byte === value)).toBe(true);
      });
    });

    it('refuses a frame of another length with FRAME_INVALID, and ends', async () => {
      for (const [sent, expected] of [
        [100, 99],
        [99, 100],
        [0, 1],
        [1, 0],
        [100_000, 100_001],
      ]) {
        const { sender, receiver } = await open();
        const read = receiver.receive([new Uint8Array(expected)]);
        const next = receiver.receive([new Uint8Array(1)]);
        const outcomes = Promise.allSettled([read, next]);
        await sender.send(new Uint8Array(sent)).catch(() => {});
        for (const outcome of await outcomes) {
          expect(outcome).toMatchObject({
            status: 'rejected',
            reason: { code: 'FRAME_INVALID', facts: { sizeBytes: sent, expectedBytes: expected } },
          });
        }
        expect((await receiver.closed).clean).toBe(false);
        expect((await sender.closed).clean).toBe(false);
      }
    });

    it('delivers what was sent before the sender closed, then rejects', async () => {
      const { sender, receiver } = await open();
      await sender.send(patterned(1000));
      await sender.send(patterned(2000));
      sender.close();
      const target = new Uint8Array(1000);
      await receiver.receive([target]);
      expect(Buffer.from(target).equals(patterned(1000))).toBe(true);
      await receiver.receive([new Uint8Array(2000)]);
      await expect(receiver.receive([new Uint8Array(1)])).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      expect((await receiver.closed).clean).toBe(true);
      expect((await sender.closed).clean).toBe(true);
      await expect(sender.send(new Uint8Array(1))).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    });

    it('rejects outstanding receives when the receiver closes, and tells the sender', async () => {
      const { sender, receiver } = await open();
      const waiting = expect(receiver.receive([new Uint8Array(1)])).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      receiver.close();
      await waiting;
      expect((await sender.closed).clean).toBe(true);
      await expect(sender.send(new Uint8Array(1))).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      await expect(receiver.receive([new Uint8Array(1)])).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    });

    it('reports a lost connection as unclean at both ends, to those who wait', async () => {
      const { sender, receiver, cut } = await open();
      const waiting = expect(receiver.receive([new Uint8Array(1)])).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      cut();
      await waiting;
      expect((await receiver.closed).clean).toBe(false);
      expect((await sender.closed).clean).toBe(false);
      await expect(sender.send(new Uint8Array(1))).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    });

    it('holds the sender back while nobody reads, and loses nothing', async () => {
      const { sender, receiver } = await open();
      const frameBytes = 1_000_000;
      const count = 24;
      let sent = 0;
      const sending = Promise.all(
        Array.from({ length: count }, (_, index) => sender.send(patterned(frameBytes, index)).then(() => sent++)),
      );
      await new Promise(setImmediate);
      expect(sent).toBeLessThan(count);
      for (let index = 0; index < count; index++) {
        const target = new Uint8Array(frameBytes);
        await receiver.receive([target]);
        expect(target[0]).toBe(index);
        expect(target[frameBytes - 1]).toBe(((frameBytes - 1) * 31 + index) & 0xff);
      }
      await sending;
    });

    it('tells of each frame when it has left, though those behind it cannot leave', async () => {
      const { sender, receiver } = await open();
      // More than a Unix-domain socket takes for a reader that is not there, and most of what TCP may.
      const frame = new Uint8Array(1_000_000);
      const outcomes = Array.from({ length: 48 }, () => sender.send(frame));
      const read = 4;
      for (let index = 0; index < read; index++) await receiver.receive([new Uint8Array(frame.length)]);
      await Promise.all(outcomes.slice(0, read));
      receiver.close();
      await Promise.allSettled(outcomes);
    });

    it('tells beats between frames, to a reader that waits and to one that does not', async () => {
      const { sender, receiver } = await open();
      const heard: number[] = [];
      receiver.onBeat((value) => heard.push(value));
      const largest = 2 ** 32 - 2;
      const target = new Uint8Array(100_000);
      sender.beat(0);
      await expect.poll(() => heard).toEqual([0]);
      const received = receiver.receive([target]);
      sender.beat(largest);
      const sent = sender.send(patterned(target.length));
      sender.beat(7);
      await Promise.all([received, sent]);
      expect(Buffer.from(target).equals(patterned(target.length))).toBe(true);
      await expect.poll(() => heard).toEqual([0, largest, 7]);
      sender.close();
      sender.beat(8);
      await receiver.closed;
      sender.beat(9);
      expect(heard).toEqual([0, largest, 7]);
    });

    it('may be closed twice and by both ends at once', async () => {
      const { sender, receiver } = await open();
      sender.close();
      receiver.close();
      sender.close();
      receiver.close();
      await Promise.all([sender.closed, receiver.closed]);
    });
  });
}
