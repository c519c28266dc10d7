/** Network and file systems of its own for a chaos run, where the system lets us: `unshare`, as root. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CoordError } from '@coord/protocol';
import type { CommandIo } from '../io.js';

const COORD = fileURLToPath(new URL('../../bin/coord.js', import.meta.url));
/** Says which isolation this process runs in. */
const VARIABLE = 'COORD_CHAOS_ISOLATION';

export interface Isolation {
  /** Workers can have network namespaces. */
  readonly network: boolean;
  /** File systems can be mounted. */
  readonly mounts: boolean;
}

export type NetworkChoice = 'auto' | 'namespaces' | 'proxy';

const NONE: Isolation = { network: false, mounts: false };
const canRun = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** What this process has; undefined when it should start itself again to have more. */
export const isolationOf = (env: CommandIo['env']): Isolation | undefined => {
  const text = env[VARIABLE];
  return text === undefined ? undefined : { network: text.includes('network'), mounts: text.includes('mounts') };
};

/**
 * @param instead what the same command can be told that needs no namespaces.
 * @throws CoordError USAGE when namespaces are asked for and cannot be had.
 */
export function possibleIsolation(choice: NetworkChoice, instead: string): Isolation {
  const mounts = canRun('unshare', '--mount', 'true');
  const network =
    mounts && choice !== 'proxy' && canRun('unshare', '--net', '--mount', 'ip', 'link', 'set', 'lo', 'up');
  if (choice === 'namespaces' && !network) {
    throw new CoordError('USAGE', 'network namespaces cannot be had here', {
      hint: `They need Linux, root, and the programs unshare and ip; ${instead} needs none of them.`,
    });
  }
  return mounts ? { network, mounts } : NONE;
}

/** Runs the same command line again, inside. @returns its exit status. */
export async function runIsolated({ network }: Isolation, io: CommandIo): Promise<number> {
  const flags = network ? ['--net', '--mount'] : ['--mount'];
  const child = spawn('unshare', [...flags, process.execPath, COORD, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, [VARIABLE]: network ? 'network,mounts' : 'mounts' },
  });
  // Ctrl-C reaches the child by the terminal, and must not reach it twice; what is meant for this process alone is passed on.
  const release = io.onInterrupt((signal) => signal === 'SIGINT' || child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      release();
      resolve(code ?? 1);
    });
  });
}
