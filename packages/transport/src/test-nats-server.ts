/** A real nats-server for tests. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

const NAMES = ['nats-server', '/usr/sbin/nats-server'];

/** Undefined where the machine has none. */
export const natsServerProgram = NAMES.find((name) => spawnSync(name, ['--version']).status === 0);

export interface TestNatsServer {
  /** `nats://127.0.0.1:PORT`. */
  readonly url: string;
  /** Resolves when the process is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface TestNatsServerOptions {
  /** Where a server before this one has listened; by default a port of the server's own choice. */
  readonly port?: number;
  readonly args?: readonly string[];
}

export async function startNatsServer({ port = -1, args = [] }: TestNatsServerOptions = {}): Promise<TestNatsServer> {
  const where = ['--addr', '127.0.0.1', '--port', String(port)];
  const child = spawn(natsServerProgram as string, [...where, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const url = await announcedUrl(child);
  return {
    url,
    stop: (signal = 'SIGTERM') =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill(signal);
      }),
  };
}

/** The server logs where it listens. */
function announcedUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`nats-server ended with status ${code}`)));
    const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream });
    lines.on('line', (line) => {
      const address = /Listening for client connections on (\S+)/.exec(line)?.[1];
      if (address) resolve(`nats://${address}`);
    });
  });
}
