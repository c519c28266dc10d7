/**
 * How long training stands still when a worker is killed: four workers on loopback, one of them is ended by SIGKILL at a
 * moment drawn by chance, and the time until the next completed step is taken; a newcomer takes its place; again and again.
 *
 *   npm run bench:recovery -- [--kills N] [--workers N] [--config FILE] [--seed N]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const COORD = join(import.meta.dirname, '..', 'packages', 'cli', 'bin', 'coord.js');
const TOKEN = 'bench-recovery-token';
const PARTS = ['unheardMs', 'totalMs', 'viewMs', 'ringMs', 'syncMs', 'grainsMs', 'stepMs'];

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '10' },
    workers: { type: 'string', default: '4' },
    config: { type: 'string', default: 'configs/mnist-cnn.yaml' },
    seed: { type: 'string', default: '1' },
  },
});
const runDir = mkdtempSync(join(tmpdir(), 'coord-bench-'));
const children = new Set();

/** mulberry32: the moments of the kills can be drawn again. */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function launch(args, onEvent) {
  const child = spawn(process.execPath, [COORD, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, COORD_TOKEN: TOKEN },
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{')) onEvent({ ...JSON.parse(line), heardMs: performance.now() });
  });
  return child;
}

/** Events of the coordinator, and a way to wait for the next one that fits. */
function createStream() {
  const waiting = new Set();
  return {
    push(event) {
      for (const one of [...waiting].filter(({ matches }) => matches(event))) {
        waiting.delete(one);
        one.resolve(event);
      }
    },
    next: (matches) => new Promise((resolve) => waiting.add({ matches, resolve })),
  };
}

const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

async function measure() {
  const [kills, size] = [Number(values.kills), Number(values.workers)];
  const random = randomFrom(Number(values.seed));
  const stream = createStream();
  const listening = stream.next(({ event }) => event === 'listening');
  const endless = ['--set', 'epochs=100000', '--set', 'evaluation.everyEpochs=0', '--set', 'checkpoint.everyEpochs=0'];
  const where = ['--workers', '0', '--min-workers', String(size), '--listen', '127.0.0.1:0', '--run-dir', runDir];
  launch(['start', values.config, ...endless, ...where], (event) => stream.push(event));
  const { urls } = await listening;
  const join = () => launch(['worker', urls[0]], () => {});
  const full = () => stream.next(({ event, members }) => event === 'view' && members.length === size);
  let complete = full();
  const workers = Array.from({ length: size }, join);
  const taken = [];
  for (let kill = 0; kill < kills; kill++) {
    await complete;
    for (let step = 0; step < 20; step++) await stream.next(({ event }) => event === 'step');
    await sleep(random() * 200);
    const recovered = stream.next(({ event }) => event === 'recovered');
    const victim = workers.shift();
    const killedMs = performance.now();
    victim.kill('SIGKILL');
    const event = await recovered;
    taken.push({ ...event, killMs: event.heardMs - killedMs });
    complete = full();
    workers.push(join());
  }
  return taken;
}

function print(taken) {
  const row = (name, numbers) => {
    const known = numbers.filter((number) => typeof number === 'number');
    const cells = [median(known), Math.min(...known), Math.max(...known)].map((ms) => ms.toFixed(1).padStart(9));
    process.stdout.write(`${name.padEnd(34)}${cells.join('')}\n`);
  };
  process.stdout.write(`${taken.length} × SIGKILL of one of ${values.workers} workers, ${values.config}, loopback\n\n`);
  process.stdout.write(`${'ms'.padEnd(34)}${['median', 'min', 'max'].map((name) => name.padStart(9)).join('')}\n`);
  row(
    'from the kill to the next step',
    taken.map(({ killMs }) => killMs),
  );
  const names = {
    unheardMs: '  lost worker unheard for',
    totalMs: '  noticed → step completed',
    viewMs: '    until the view is known',
    ringMs: '    ring opened',
    syncMs: '    state agreed',
    grainsMs: '    lost grains computed',
    stepMs: '    rest of the step',
  };
  for (const part of PARTS)
    row(
      names[part],
      taken.map((one) => one[part]),
    );
}

try {
  print(await measure());
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(runDir, { recursive: true, force: true });
}
