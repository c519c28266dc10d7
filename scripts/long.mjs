// Long forms of tests, whose short forms are in `npm test`. Each takes numbers, which it hands over in the environment:
//   npm run simulate -- [SCHEDULES] [SEED]
//   npm run fuzz -- [INPUTS] [SEED] [TARGET]
//   npm run soak:ring -- [OPERATIONS] [SEED]
//   npm run bench:membership -- [WORKERS]
import { spawnSync } from 'node:child_process';

const FORMS = {
  simulate: {
    project: 'cluster',
    files: ['test/simulation.test.ts'],
    arguments: [
      ['COORD_SIMULATIONS', /^\d{1,9}$/, '5000'],
      ['COORD_SIMULATION_SEED', /^-?\d{1,12}$/],
    ],
  },
  fuzz: {
    project: 'cluster',
    files: ['test/fuzz.test.ts'],
    arguments: [
      ['COORD_FUZZ', /^\d{1,9}$/, '1000000'],
      ['COORD_FUZZ_SEED', /^\d{1,12}$/, '1'],
      ['COORD_FUZZ_ONLY', /^[a-z ]+$/],
    ],
  },
  ring: {
    project: 'unit',
    files: ['packages/ring/test/chaos.test.ts', 'packages/ring/test/killed-peer.test.ts'],
    arguments: [
      ['COORD_RING_OPERATIONS', /^[1-9]\d{0,7}$/, '1000'],
      ['COORD_RING_SEED', /^\d{1,6}$/],
    ],
  },
  membership: {
    project: 'unit',
    files: ['packages/coordinator/test/scale.test.ts'],
    arguments: [['COORD_SCALE_WORKERS', /^[1-9]\d{0,3}$/, '1000']],
  },
};

const [name, ...given] = process.argv.slice(2);
const form = FORMS[name];
const env = { ...process.env };
form.arguments.forEach(([variable, pattern, byDefault], index) => {
  const value = given[index] ?? byDefault;
  if (value === undefined) return;
  if (!pattern.test(value)) {
    process.stderr.write(`${name}: "${value}" does not fit ${pattern}\n`);
    process.exit(2);
  }
  env[variable] = value;
});
const startedMs = performance.now();
const args = ['exec', '--', 'vitest', 'run', '--project', form.project, ...form.files];
const { status } = spawnSync('npm', args, { stdio: 'inherit', env, shell: process.platform === 'win32' });
process.stdout.write(`${name} ${given.join(' ')}: ${((performance.now() - startedMs) / 1000).toFixed(0)} s\n`);
process.exit(status ?? 1);
