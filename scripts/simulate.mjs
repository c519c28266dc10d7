// Plays many schedules of faults against the whole system in virtual time: npm run simulate -- [COUNT] [SEED]
import { spawnSync } from 'node:child_process';

const [count = '5000', seed] = process.argv.slice(2);
if (![count, seed ?? '0'].every((text) => /^-?\d{1,12}$/.test(text))) {
  process.stderr.write('usage: npm run simulate -- [COUNT] [SEED]\n');
  process.exit(2);
}
const env = {
  ...process.env,
  COORD_SIMULATIONS: count,
  ...(seed === undefined ? {} : { COORD_SIMULATION_SEED: seed }),
};
const args = ['exec', '--', 'vitest', 'run', '--project', 'cluster', 'test/simulation.test.ts'];
const startedMs = performance.now();
const { status } = spawnSync('npm', args, { stdio: 'inherit', env, shell: process.platform === 'win32' });
const seconds = (performance.now() - startedMs) / 1000;
process.stdout.write(
  `${count} schedules in ${seconds.toFixed(0)} s: ${Math.round((Number(count) * 60) / seconds)} a minute\n`,
);
process.exit(status ?? 1);
