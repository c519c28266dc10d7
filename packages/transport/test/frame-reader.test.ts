import { describe, expect, it } from 'vitest';
import { controlFrame, frameHeader, OPCODE } from '../src/frame.js';
import { FrameReader } from '../src/frame-reader.js';

/** Gives the reader its bytes in the pieces given, as a socket would. */
function arrive(reader: FrameReader, pieces: readonly Uint8Array[]): void {
  for (const piece of pieces) {
    for (let at = 0; at < piece.byteLength; ) {
      const room = reader.buffer();
      const some = piece.subarray(at, at + room.byteLength);
      room.set(some);
      reader.advance(some.byteLength);
      at += some.byteLength;
    }
  }
}

describe('a frame reader', () => {
  it('keeps a control frame that is split behind its header out of the data that is waited for', async () => {
    const controls: [number, string][] = [];
    const reader = new FrameReader({
      remote: 'a peer',
      from: 'server',
      maxFrameBytes: 100,
      onControl: (opcode, payload) => controls.push([opcode, Buffer.from(payload).toString()]),
    });
    const target = new Uint8Array(5);
    const read = reader.reads.add([target]);
    const ping = controlFrame(OPCODE.ping, Buffer.from('are you there'));
    const data = Buffer.concat([frameHeader(OPCODE.binary, 5), Buffer.from('hello')]);
    arrive(reader, [ping.subarray(0, 2), ping.subarray(2), data.subarray(0, 2), data.subarray(2)]);
    await read;
    expect(controls).toEqual([[OPCODE.ping, 'are you there']]);
    expect(Buffer.from(target).toString()).toBe('hello');
  });

  it('reads the head of the next frame together with the end of one, into the spare room behind it', async () => {
    const reader = new FrameReader({ remote: 'a peer', from: 'server', maxFrameBytes: 100_000, onControl: () => {} });
    const payloads = [1, 2, 3].map((value) => new Uint8Array(50_000).fill(value));
    const room = payloads.map(() => new Uint8Array(50_064));
    const reads = room.map((bytes) => reader.reads.add([new Uint8Array(20), bytes.subarray(0, 50_000)], 64));
    const frames = payloads.map((payload) => [frameHeader(OPCODE.binary, 50_020), new Uint8Array(20), payload]);
    const stream = Buffer.concat(frames.flat());
    let systemCalls = 0;
    for (let at = 0; at < stream.byteLength; systemCalls++) {
      const target = reader.buffer();
      const some = stream.subarray(at, at + target.byteLength);
      target.set(some);
      reader.advance(some.byteLength);
      at += some.byteLength;
    }
    await Promise.all(reads);
    expect(room.map((bytes) => bytes.subarray(0, 50_000))).toEqual(payloads);
    // The first head, and then a read a frame.
    expect(systemCalls).toBe(1 + frames.length);
  });
});
