// Feeds every parser of what comes from outside: npm run fuzz -- [INPUTS] [SEED] [TARGET]
import { spawnSync } from 'node:child_process';

const [inputs = '1000000', seed = '1', target] = process.argv.slice(2);
if (![inputs, seed].every((text) => /^\d{1,12}$/.test(text))) {
  process.stderr.write('usage: npm run fuzz -- [INPUTS] [SEED] [TARGET]\n');
  process.exit(2);
}
const env = { ...process.env, COORD_FUZZ: inputs, COORD_FUZZ_SEED: seed };
if (target !== undefined) env.COORD_FUZZ_ONLY = target;
const args = ['exec', '--', 'vitest', 'run', '--project', 'cluster', 'test/fuzz.test.ts'];
const { status } = spawnSync('npm', args, { stdio: 'inherit', env, shell: process.platform === 'win32' });
process.exit(status ?? 1);
