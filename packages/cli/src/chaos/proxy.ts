/** A TCP proxy that can pause, cut, slow and damage what goes through it: a bad network between two processes. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import type { Endpoint } from '@coord/protocol';

export interface Slowness {
  readonly delayMs: number;
  readonly bytesPerSecond: number;
}

interface Pair {
  readonly ends: readonly [Socket, Socket];
}

export class FaultyProxy {
  private readonly pairs = new Set<Pair>();
  private paused = false;
  private refusing = false;
  private slowness: Slowness | undefined;
  private flip: (() => void) | undefined;

  private constructor(
    private readonly server: Server,
    private readonly target: () => Endpoint,
  ) {
    server.on('connection', (socket) => this.accept(socket));
  }

  /** @param target where connections lead; asked at each. */
  static async start(host: string, target: () => Endpoint): Promise<FaultyProxy> {
    const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true });
    const proxy = new FaultyProxy(server, target);
    server.listen({ host, port: 0 });
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Nothing goes through any more, and nobody is told. */
  pause(): void {
    this.paused = true;
    for (const end of this.ends()) end.pause();
  }

  resume(): void {
    this.paused = false;
    for (const end of this.ends()) end.resume();
  }

  /** Resets every connection; new ones are refused until `restore`. */
  cut(): void {
    this.refusing = true;
    for (const end of this.ends()) end.resetAndDestroy();
  }

  restore(): void {
    this.refusing = false;
  }

  slow(slowness: Slowness | undefined): void {
    this.slowness = slowness;
  }

  /** One bit of the next bytes flips, whichever way they go. @param onFlip called when it is done. */
  damage(onFlip: () => void): void {
    this.flip = onFlip;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const end of this.ends()) end.destroy();
    await closed;
  }

  private ends(): Socket[] {
    return [...this.pairs].flatMap(({ ends }) => ends);
  }

  private accept(inner: Socket): void {
    if (this.refusing) return void inner.resetAndDestroy();
    const outer = connect({ ...this.target(), noDelay: true, allowHalfOpen: true });
    const pair: Pair = { ends: [inner, outer] };
    this.pairs.add(pair);
    const end = () => {
      this.pairs.delete(pair);
      inner.destroy();
      outer.destroy();
    };
    for (const socket of pair.ends) socket.on('error', end);
    for (const socket of pair.ends) socket.once('close', end);
    this.forward(inner, outer);
    this.forward(outer, inner);
    if (this.paused) for (const socket of pair.ends) socket.pause();
  }

  /** Whoever cannot write stops the reading, as a slow network would. */
  private forward(from: Socket, to: Socket): void {
    from.pipe(this.trouble()).pipe(to);
  }

  /** What happens to the bytes of one direction. */
  private trouble(): Transform {
    return new Transform({
      transform: (bytes: Buffer, _encoding, done) => {
        this.damageIn(bytes);
        const { slowness } = this;
        if (!slowness) return done(null, bytes);
        const delayMs = slowness.delayMs + (bytes.byteLength / slowness.bytesPerSecond) * 1000;
        setTimeout(() => done(null, bytes), delayMs);
      },
    });
  }

  private damageIn(bytes: Buffer): void {
    if (!this.flip) return;
    // In the middle of a chunk: payload more often than header.
    bytes[bytes.byteLength >> 1] ^= 0x10;
    this.flip();
    this.flip = undefined;
  }
}
