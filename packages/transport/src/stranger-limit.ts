/**
 * Stranger limit: until somebody has proved itself, no more than a handshake is read from its socket, whatever a frame announces.
 * What is beyond ends the connection before anything larger is put together.
 */
import type { Socket } from 'node:net';

/** @returns a function that lifts the limit. */
export function limitStranger(socket: Socket, limitBytes: number = Number.POSITIVE_INFINITY): () => void {
  if (limitBytes === Number.POSITIVE_INFINITY) return () => {};
  let left = limitBytes;
  const count = (bytes: Buffer) => {
    left -= bytes.length;
    if (left >= 0) return;
    lift();
    socket.destroy();
  };
  const lift = () => void socket.off('data', count);
  // Before the WebSocket sees them: it may not buffer what is too much.
  socket.prependListener('data', count);
  return lift;
}
