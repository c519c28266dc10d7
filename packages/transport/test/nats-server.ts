/** A real nats-server for tests, on a port of its own choice. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

const NAMES = ['nats-server', '/usr/sbin/nats-server'];

export const natsServerProgram = NAMES.find((name) => spawnSync(name, ['--version']).status === 0);

export interface TestNatsServer {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startNatsServer(): Promise<TestNatsServer> {
  const args = ['--addr', '127.0.0.1', '--port', '-1'];
  const child = spawn(natsServerProgram as string, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const url = await announcedUrl(child);
  return {
    url,
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
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
