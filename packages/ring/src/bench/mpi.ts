/** MPI as a contender, where mpicc and mpirun are on the machine; its program is compiled on the spot. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Contender, Timing } from './contender.js';
import { LineProcess } from './line-process.js';

const SOURCE = fileURLToPath(new URL('../../bench/mpi_peer.c', import.meta.url));

const works = (command: string, args: readonly string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).status === 0;

export const hasMpi = (): boolean => works('mpicc', ['--version']) && works('mpirun', ['--version']);

/** More ranks than cores are allowed, as for the others; OpenMPI refuses root unless told. */
const RUN_FLAGS = ['--oversubscribe', ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : [])];

/** @throws Error when the program cannot be compiled. */
export async function startMpi(ranks: number): Promise<Contender> {
  const directory = mkdtempSync(join(tmpdir(), 'coord-mpi-'));
  const program = join(directory, 'mpi_peer');
  try {
    if (!works('mpicc', ['-O2', '-o', program, SOURCE])) throw new Error(`mpicc could not compile ${SOURCE}`);
    const group = new LineProcess('mpirun', [...RUN_FLAGS, '-n', `${ranks}`, program]);
    await group.answer();
    return contenderOf(group, ranks);
  } finally {
    // What runs needs its file no more, and so no way of ending leaves it behind.
    rmSync(directory, { recursive: true, force: true });
  }
}

function contenderOf(group: LineProcess, ranks: number): Contender {
  return {
    name: 'mpi',
    ranks,
    async time(bytes, iterations) {
      group.command(`${bytes} ${iterations}`);
      return (await group.answer()) as unknown as Timing;
    },
    stop: () => group.stop(),
  };
}
