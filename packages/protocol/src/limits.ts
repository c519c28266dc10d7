/** Limits on everything that comes from a socket. A number here is a promise to the memory of the process that reads. */
export const LIMITS = {
  /** A control message on the wire, blocks and state chunks included. */
  messageBytes: 8 * 1024 * 1024,
  /** Anything said before the join handshake is complete: four names of 200 characters, whatever the script, and two hashes. */
  handshakeBytes: 4 * 1024,
  blockBytes: 4 * 1024 * 1024,
  stateChunkBytes: 1024 * 1024,
  nameLength: 200,
  textLength: 4000,
  members: 4096,
  blocks: 1_000_000,
} as const;
