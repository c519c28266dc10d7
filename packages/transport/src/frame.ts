/** WebSocket frames as bytes. Source: RFC 6455, section 5.2. */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Status codes of a close frame, RFC 6455, section 7.4.1. */
export const CLOSE_CODE = { normal: 1000, protocolError: 1002, unsupportedData: 1003, tooLarge: 1009 } as const;

/** A control frame's payload is never longer. */
export const MAX_CONTROL_BYTES = 125;
const MASK_BYTES = 4;

const BEAT_BYTES = 4;

/** Of a pong that nobody has asked for: a heartbeat in one direction (RFC 6455, section 5.5.3). */
export function beatPayload(value: number): Uint8Array {
  const payload = Buffer.alloc(BEAT_BYTES);
  payload.writeUInt32LE(value);
  return payload;
}

/** @returns undefined where the pong is another one. */
export function parseBeat(payload: Uint8Array): number | undefined {
  if (payload.byteLength !== BEAT_BYTES) return undefined;
  return Buffer.from(payload.buffer, payload.byteOffset, BEAT_BYTES).readUInt32LE();
}

export interface FrameHeader {
  readonly opcode: number;
  /** Last frame of its message. */
  readonly final: boolean;
  /** True when a reserved bit is set, which only a negotiated extension may do. */
  readonly reserved: boolean;
  readonly masked: boolean;
  readonly payloadBytes: number;
  /** Size of the header itself, masking key included. */
  readonly headerBytes: number;
}

export const isControl = (opcode: number): boolean => opcode >= 8;

/** @returns undefined while the header is not complete. */
export function parseFrameHeader(bytes: Uint8Array, start: number, end: number): FrameHeader | undefined {
  if (end - start < 2) return undefined;
  const [first, second] = [bytes[start], bytes[start + 1]];
  const masked = (second & 0x80) !== 0;
  const short = second & 0x7f;
  const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
  const headerBytes = 2 + lengthBytes + (masked ? MASK_BYTES : 0);
  if (end - start < headerBytes) return undefined;
  return {
    opcode: first & 0x0f,
    final: (first & 0x80) !== 0,
    reserved: (first & 0x70) !== 0,
    masked,
    payloadBytes: lengthBytes === 0 ? short : readLength(bytes, start + 2, lengthBytes),
    headerBytes,
  };
}

function readLength(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = at; index < at + count; index++) value = value * 256 + bytes[index];
  return value;
}

/** Size of an unmasked frame's header. */
export const headerBytesOf = (payloadBytes: number): number => 2 + lengthBytesOf(payloadBytes);

const lengthBytesOf = (payloadBytes: number): number => (payloadBytes < 126 ? 0 : payloadBytes < 65536 ? 2 : 8);

/** Header of an unmasked frame that is a whole message. */
export function frameHeader(opcode: number, payloadBytes: number): Uint8Array {
  const lengthBytes = lengthBytesOf(payloadBytes);
  const header = new Uint8Array(2 + lengthBytes);
  header[0] = 0x80 | opcode;
  header[1] = lengthBytes === 0 ? payloadBytes : lengthBytes === 2 ? 126 : 127;
  let rest = payloadBytes;
  for (let index = header.length - 1; index >= 2; index--) {
    header[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return header;
}

/** A whole control frame; `mask` (4 bytes) when a client sends it. */
export function controlFrame(opcode: number, payload: Uint8Array, mask?: Uint8Array): Uint8Array {
  const header = frameHeader(opcode, payload.byteLength);
  if (!mask) return Buffer.concat([header, payload]);
  header[1] |= 0x80;
  return Buffer.concat([header, mask, unmask(payload, mask)]);
}

/** Masking is its own inverse. */
export const unmask = (payload: Uint8Array, mask: Uint8Array): Uint8Array =>
  payload.map((byte, index) => byte ^ mask[index % MASK_BYTES]);

export function closePayload(code: number, reason: string): Uint8Array {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  return payload.subarray(0, MAX_CONTROL_BYTES);
}

export function parseClosePayload(payload: Uint8Array): { code: number; reason: string } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return bytes.length < 2
    ? { code: 1005, reason: '' }
    : { code: bytes.readUInt16BE(0), reason: bytes.toString('utf8', 2) };
}
