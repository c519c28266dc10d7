/** Bytes ↔ messages: MessagePack, a size limit, a schema. */
import { Packr } from 'msgpackr';
import type { z } from 'zod';
import { CoordError } from './errors.js';
import { LIMITS } from './limits.js';
import { printable } from './printable.js';

const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number', copyBuffers: true });

export function encodeMessage(message: object): Uint8Array {
  return packr.pack(message);
}

export interface DecodeOptions {
  /** Who sent it, for the error. */
  readonly from: string;
  readonly limitBytes?: number;
}

/**
 * @throws CoordError FRAME_TOO_LARGE, FRAME_INVALID (not MessagePack) or MESSAGE_INVALID (not of the schema; the message
 *   names the path of the first wrong value).
 */
export function decodeMessage<S extends z.ZodType>(schema: S, frame: Uint8Array, options: DecodeOptions): z.infer<S> {
  const limitBytes = options.limitBytes ?? LIMITS.messageBytes;
  if (frame.byteLength > limitBytes) {
    throw new CoordError(
      'FRAME_TOO_LARGE',
      `${options.from} sent a frame of ${frame.byteLength} bytes; the limit here is ${limitBytes}`,
      {
        facts: { from: options.from, sizeBytes: frame.byteLength, limitBytes },
      },
    );
  }
  const value = unpack(frame, options.from);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = printable(issue.path.length > 0 ? issue.path.join('.') : '(the whole message)');
  // It may repeat what was sent.
  const what = printable(issue.message);
  throw new CoordError('MESSAGE_INVALID', `${options.from} sent a message that is wrong at ${path}: ${what}`, {
    facts: { from: options.from, path },
  });
}

function unpack(frame: Uint8Array, from: string): unknown {
  try {
    return packr.unpack(frame);
  } catch (cause) {
    throw new CoordError('FRAME_INVALID', `${from} sent ${frame.byteLength} bytes that are no MessagePack message`, {
      facts: { from, sizeBytes: frame.byteLength },
      cause,
    });
  }
}
