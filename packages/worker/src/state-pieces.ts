/** A state in pieces that fit a message. */
import { LIMITS } from '@coord/protocol';

/** Views of [start, end) of the concatenated sections, none longer than a message may carry. */
export function piecesOf(sections: readonly Uint8Array[], start: number, end: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (const section of sections) {
    const stop = Math.min(section.byteLength, end - offset);
    for (let at = Math.max(0, start - offset); at < stop; at += LIMITS.stateChunkBytes) {
      pieces.push(section.subarray(at, Math.min(stop, at + LIMITS.stateChunkBytes)));
    }
    offset += section.byteLength;
  }
  return pieces;
}
