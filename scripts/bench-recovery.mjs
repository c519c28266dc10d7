/**
 * How long training stands still when a worker is killed: four workers on loopback, one of them is ended by SIGKILL at a
 * moment drawn by chance, and the time until the next completed step is taken; a newcomer takes its place; again and again.
 * With --joins: what a newcomer costs the others, from its start until it has copied the state and is in the ring.
 *
 *   npm run bench:recovery -- [--kills N | --joins N] [--workers N] [--config FILE] [--set KEY=VALUE …] [--seed N]
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

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '9' },
    joins: { type: 'string' },
    workers: { type: 'string', default: '4' },
    config: { type: 'string', default: 'configs/mnist-cnn.yaml' },
    set: { type: 'string', multiple: true, default: [] },
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

/** A run without an end, on workers that take each other's places. */
async function startCluster() {
  const size = Number(values.workers);
  const stream = createStream();
  const listening = stream.next(({ event }) => event === 'listening');
  const settings = ['epochs=100000', 'evaluation.everyEpochs=0', 'checkpoint.everyEpochs=0', ...values.set];
  const endless = settings.flatMap((setting) => ['--set', setting]);
  const where = ['--workers', '0', '--min-workers', String(size), '--listen', '127.0.0.1:0', '--run-dir', runDir];
  launch(['start', values.config, ...endless, ...where], (event) => stream.push(event));
  const { urls } = await listening;
  const join = () => launch(['worker', urls[0]], () => {});
  const viewOf = (count) => stream.next(({ event, members }) => event === 'view' && members.length === count);
  const complete = viewOf(size);
  const workers = Array.from({ length: size }, join);
  await complete;
  return { stream, workers, join, viewOf, size };
}

const steps = async (stream, count) => {
  const times = [];
  while (times.length < count) times.push((await stream.next(({ event }) => event === 'step')).heardMs);
  return times;
};

async function measureKills() {
  const random = randomFrom(Number(values.seed));
  const { stream, workers, join, viewOf, size } = await startCluster();
  const taken = [];
  for (let kill = 0; kill < Number(values.kills); kill++) {
    await steps(stream, 20);
    await sleep(random() * 200);
    const recovered = stream.next(({ event }) => event === 'recovered');
    const victim = workers.shift();
    const killedMs = performance.now();
    victim.kill('SIGKILL');
    const event = await recovered;
    const killMs = event.heardMs - killedMs;
    taken.push({ ...event, killMs, detectMs: Math.max(0, killMs - event.totalMs) });
    const complete = viewOf(size);
    workers.push(join());
    await complete;
  }
  return taken;
}

const AROUND = 12;

/** Times between the completed steps of those that train: before a newcomer, from its start until it is in, and after that. */
async function measureJoins() {
  const { stream, join, viewOf, size } = await startCluster();
  await steps(stream, 5);
  const phases = { before: [], during: [], after: [] };
  const between = (times) => times.slice(1).map((ms, index) => ms - times[index]);
  for (let count = 0; count < Number(values.joins); count++) {
    const before = await steps(stream, AROUND);
    const during = [before.at(-1)];
    const entered = viewOf(size + 1);
    const newcomer = join();
    let isIn = false;
    entered.then(() => {
      isIn = true;
    });
    // The first step of the new view still belongs to the change.
    while (!isIn) during.push(...(await steps(stream, 1)));
    during.push(...(await steps(stream, 1)));
    const after = await steps(stream, AROUND);
    phases.before.push(...between(before));
    phases.during.push(...between(during));
    phases.after.push(...between([during.at(-1), ...after]));
    const gone = viewOf(size);
    newcomer.kill('SIGTERM');
    await gone;
    await steps(stream, 2);
  }
  return phases;
}

const row = (name, numbers) => {
  const known = numbers.filter((number) => typeof number === 'number');
  const cells = [median(known), Math.min(...known), Math.max(...known)].map((ms) => ms.toFixed(1).padStart(9));
  process.stdout.write(`${name.padEnd(34)}${cells.join('')}\n`);
};

function head(title) {
  process.stdout.write(`${title}, ${values.config}, loopback\n\n`);
  process.stdout.write(`${'ms'.padEnd(34)}${['median', 'min', 'max'].map((name) => name.padStart(9)).join('')}\n`);
}

function printJoins({ before, during, after }) {
  head(`${values.joins} × a newcomer to ${values.workers} workers`);
  row('a step before it comes', before);
  row(`while it starts, copies and enters`, during);
  row('with it', after);
  process.stdout.write(`${during.length} steps were completed meanwhile\n`);
}

function printKills(taken) {
  head(`${taken.length} × SIGKILL of one of ${values.workers} workers`);
  const names = {
    killMs: 'from the kill to the next step',
    unheardMs: '  lost worker unheard for',
    detectMs: '  detected',
    totalMs: '  detected → step completed',
    viewMs: '    view agreed',
    ringMs: '    ring up',
    syncMs: '    state agreed',
    grainsMs: '    lost grains redone',
    stepMs: '    rest of the step',
  };
  for (const [part, name] of Object.entries(names))
    row(
      name,
      taken.map((one) => one[part]),
    );
}

try {
  if (values.joins === undefined) printKills(await measureKills());
  else printJoins(await measureJoins());
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(runDir, { recursive: true, force: true });
}
