/** PyTorch's gloo as a contender, where a Python with torch is on the machine. */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Contender, Timing } from './contender.js';
import { LineProcess } from './line-process.js';

const PROGRAM = fileURLToPath(new URL('../../bench/gloo_peer.py', import.meta.url));
/** A Python of the system may have torch where the first one in the path has not. */
const PYTHONS = ['python3', '/usr/bin/python3', 'python'];

/** The Python that can import torch.distributed; undefined when there is none. */
export function findTorchPython(): string | undefined {
  const probe = 'import torch.distributed as d; exit(0 if d.is_gloo_available() else 1)';
  // Older versions lack is_gloo_available and always have gloo.
  const code = `import torch.distributed as d\nif hasattr(d, "is_gloo_available"):\n  ${probe}`;
  return PYTHONS.find((python) => spawnSync(python, ['-c', code], { stdio: 'ignore' }).status === 0);
}

export async function startGloo(python: string, ranks: number): Promise<Contender> {
  const port = await freePort();
  const group = Array.from(
    { length: ranks },
    (_, rank) => new LineProcess(python, [PROGRAM, `${rank}`, `${ranks}`, `${port}`]),
  );
  await Promise.all(group.map((rank) => rank.answer()));
  return {
    name: 'gloo',
    ranks,
    async time(bytes, iterations) {
      for (const rank of group) rank.command(JSON.stringify({ bytes, iterations }));
      const answers = (await Promise.all(group.map((rank) => rank.answer()))) as unknown as Timing[];
      return { ms: answers[0].ms, wrong: answers.reduce((sum, { wrong }) => sum + wrong, 0) };
    },
    async stop() {
      await Promise.all(group.map((rank) => rank.stop()));
    },
  };
}

/** gloo's rendezvous wants a port before anybody listens on it. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
