// Contenders as child processes: a line "go SECONDS" in, a line of JSON out.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export const startEngine = (engine, { model, batch, threads, warmUps = engine === 'ort' ? 3 : 1 }) =>
  start(process.execPath, [here('engine_peer.mjs'), engine, model, batch, threads, warmUps], {});

/** Undefined where there is no Python with PyTorch. */
export function startTorch({ model, batch, threads }, isTuned) {
  const python = process.env.COORD_BENCH_PYTHON ?? (process.platform === 'win32' ? 'python' : '/usr/bin/python3');
  const memory = isTuned ? { MALLOC_TRIM_THRESHOLD_: '4000000000', MALLOC_MMAP_THRESHOLD_: '4000000000' } : {};
  // Without these some BLAS libraries take every core, whatever torch.set_num_threads says.
  const limits = { OPENBLAS_NUM_THREADS: String(threads), OMP_NUM_THREADS: String(threads) };
  return start(python, [here('torch_peer.py'), model, batch, threads, isTuned ? 'tuned' : 'default'], {
    ...limits,
    ...memory,
  });
}

async function start(command, args, env) {
  const child = spawn(command, args.map(String), {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const failed = new Promise((resolve) => child.once('error', () => resolve(undefined)));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ready = await Promise.race([lines.next(), failed]);
  if (ready?.value !== 'ready') return undefined;
  return {
    async run(seconds) {
      child.stdin.write(`go ${seconds}\n`);
      return JSON.parse((await lines.next()).value);
    },
    stop: () => child.stdin.end(),
  };
}
