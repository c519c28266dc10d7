/**
 * Connection gate: bounds the connections of whoever has proved nothing yet, from each address and in all. Those that have been
 * admitted count no longer.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { plainAddress } from './address.js';

export interface GateLimits {
  readonly perAddress: number;
  readonly total: number;
}

/** Sockets whose owner has been admitted. */
type Ends = Pick<Socket, 'remoteAddress' | 'remotePort'>;

/** TLS may stand between, so a socket is known by both of its ends; one without addresses (a local one), only as itself. */
const nameOf = (socket: Ends): unknown =>
  socket.remotePort === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`;

const gates = new WeakMap<Server, ConnectionGate>();

export class ConnectionGate {
  private readonly waiting = new Map<unknown, () => void>();
  private readonly perAddress = new Map<string, number>();

  constructor(
    server: Server,
    private readonly limits: GateLimits,
  ) {
    server.on('connection', (socket: Socket) => this.onConnection(socket));
    gates.set(server, this);
  }

  /** Strangers' connections that are open. */
  get size(): number {
    return this.waiting.size;
  }

  /** The owner of this socket, or of what lies below it, has proved itself. */
  admit(socket: Ends): void {
    this.waiting.get(nameOf(socket))?.();
  }

  private onConnection(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress);
    const count = this.perAddress.get(address) ?? 0;
    if (count >= this.limits.perAddress || this.size >= this.limits.total) {
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    const release = () => {
      if (!this.waiting.delete(name)) return;
      const left = (this.perAddress.get(address) ?? 1) - 1;
      if (left > 0) this.perAddress.set(address, left);
      else this.perAddress.delete(address);
    };
    this.perAddress.set(address, count + 1);
    this.waiting.set(name, release);
    socket.once('close', release);
  }
}

/** Does nothing on a server without a gate. */
export const admitSocket = (server: Server, socket: Ends): void => gates.get(server)?.admit(socket);
