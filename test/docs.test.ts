/**
 * Every `coord …` line in the README and in docs/ is run, with what only a reader can have (addresses, tokens, run directories,
 * hours of patience) replaced by what this test has.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '@coord/transport/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CoordEvent,
  type CoordProcess,
  coord,
  endAll,
  killWorkersOf,
  REPOSITORY,
  temporaryDirectory,
} from './support/coord.js';

const TOKEN = 'docs-test-token';
const TINY = join(REPOSITORY, 'configs', 'synthetic-tiny.yaml');

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file)),
];

/** Command lines of a page: those that start with coord, after a prompt or npx, outside of running text. */
function commandsOf(page: string): string[] {
  return shellLines(readFileSync(join(REPOSITORY, page), 'utf8'))
    .map((line) =>
      /^\s*(?:\$ )?(?:npx )?(coord [a-z].*)$/
        .exec(line)?.[1]
        .replace(/\s+#.*$/, '')
        .trim(),
    )
    .filter((line) => line !== undefined);
}

/** Lines inside the fences of a page that show a terminal. */
function shellLines(text: string): string[] {
  let language: string | undefined;
  return text.split('\n').filter((line) => {
    const fence = /^```(\w*)/.exec(line);
    if (fence) language = language === undefined ? fence[1] : undefined;
    return !fence && language !== undefined && ['sh', 'console', 'text', ''].includes(language);
  });
}

const examples = [...new Set(pages.flatMap(commandsOf))].filter((line) => !/^coord (\[|<)/.test(line));

const needsNats = (line: string): boolean => line.includes('nats://');
/** Of a coordinator that speaks TLS. */
const isSecure = (line: string): boolean => /(wss|https):\/\//.test(line);

/** A coordinator that speaks TLS, and what it gives to whom. */
interface SecureStage {
  readonly url: string;
  readonly token: string;
  readonly operatorToken: string;
}

interface Stage {
  readonly url: string;
  /** Of a NATS server that a coordinator is connected to; undefined where the machine has none. */
  readonly natsUrl: string | undefined;
  /** A run that was interrupted: it can be evaluated, exported, audited and resumed. */
  readonly run: string;
  readonly secure: SecureStage;
  readonly checkpoint: string;
}

async function interruptedRun(directory: string): Promise<void> {
  const settings = ['epochs=1000', 'checkpoint.everySteps=20'].flatMap((setting) => ['--set', setting]);
  const first = coord(['start', TINY, '--json', '--workers', '1', '--run-dir', directory, ...settings]);
  await first.event((event) => event.event === 'step' && (event.step as number) >= 50);
  first.kill('SIGINT');
  await first.exited;
}

/** Words of the line with a reader's values replaced by ours. */
function staged(line: string, stage: Stage, run: string): string[] {
  const { secure } = stage;
  const secureToken = line.startsWith('coord token') ? secure.operatorToken : secure.token;
  const replaced = line
    .replace(/(wss|https):\/\/[\w.]+:7070/, (_, scheme) => secure.url.replace(/^wss/, scheme))
    .replace(/configs\/(mnist-cnn|mnist-mlp|deep-mlp)\.yaml/, TINY)
    .replace(/runs\/\S*\/checkpoints\/\S+/, stage.checkpoint)
    .replace(/runs\/\S+/, run)
    .replace(/(ws|http):\/\/[\w.]+:7070/, (_, scheme) => stage.url.replace(/^ws/, scheme))
    .replace(/nats:\/\/\S+/, stage.natsUrl ?? '')
    .replace(/--token \S+/, `--token ${isSecure(line) ? secureToken : TOKEN}`)
    .replace(/--listen \S+/, '--listen 127.0.0.1:0')
    .replace(/--out \S+/, `--out ${join(temporaryDirectory(), 'out')}`)
    .replace(/--timeline \S+/, `--timeline ${temporaryDirectory()}`)
    .replace(/--execute \d+/, '--execute 21')
    .replace(/--minutes \S+/, '--minutes 0.01')
    .replace(/--flight \S+/, '');
  return replaced.trim().split(/\s+/).slice(1);
}

const BENCH_ADDITIONS: Readonly<Record<string, readonly string[]>> = {
  scaling: ['--workers', '1', '--repeats', '1', '--steps', '5'],
  allreduce: ['--sizes', '4K', '--rounds', '1'],
  overlap: ['--steps', '2'],
};

/** What an example may need besides its own words: a place of its own, an end in finite time. */
function additions(words: readonly string[], stage: Stage): readonly string[] {
  const [command, what] = words;
  const listen = words.includes('--listen') || words.includes('--resume') ? [] : ['--listen', '127.0.0.1:0'];
  const place = words.includes('--resume') ? [] : ['--run-dir', join(temporaryDirectory(), 'run')];
  if (command === 'start') return ['--json', ...listen, ...place];
  if (command === 'bench' && words.includes('--join')) return [];
  if (waitsForMachines(words)) return ['--sizes', '4K', '--json'];
  if (command === 'bench') return BENCH_ADDITIONS[what] ?? [];
  if ((command === 'status' || command === 'why') && !words.some((word) => word.startsWith('http')))
    return [stage.url.replace(/^ws/, 'http')];
  if (command === 'chaos') {
    const faults = words.includes('--minutes') ? [] : ['--faults', '0'];
    return ['--workers', '1', ...faults, '--steps', '20', '--network', 'proxy'];
  }
  if (command === 'drain' && !words.includes('--url')) return ['--url', stage.url];
  return [];
}

/** The operator's secret stands in the run directory, and the fingerprint is part of what workers are given. */
async function secureStageOf(coordinator: CoordProcess): Promise<SecureStage> {
  const { url, token, runDir } = (await coordinator.event('started')) as CoordEvent & Record<string, string>;
  await coordinator.event('step');
  const { tokens } = JSON.parse(readFileSync(join(runDir, 'tokens.json'), 'utf8')) as {
    tokens: { role: string; secret: string }[];
  };
  const operator = tokens.find(({ role }) => role === 'operator')?.secret ?? '';
  return { url, token, operatorToken: operator + token.slice(token.indexOf('.sha256-')) };
}

/** Where the line joins a bench, there is one that waits for somebody. */
async function withBench(line: string): Promise<string> {
  if (!line.includes('--join ')) return line;
  const settings = ['--token', TOKEN, '--sizes', '4K', '--rounds', '1', '--json'];
  const lead = coord(['bench', 'allreduce', '--listen', '127.0.0.1:0', ...settings]);
  const { url } = (await lead.event('bench-listening')) as CoordEvent & { url: string };
  return line.replace(/--join \S+/, `--join ${url}`);
}

/** Nobody comes to a bench that waits for other machines. */
const waitsForMachines = (words: readonly string[]): boolean => words[0] === 'bench' && words.includes('--listen');

/** A run goes on for longer than a test: it has shown what it does once it trains, or waits for workers or machines. */
async function endsWhenSeen(process: CoordProcess): Promise<number> {
  await process.event((event) => ['step', 'waiting', 'bench-listening'].includes(String(event.event)));
  process.kill('SIGINT');
  return (await process.exited).code ?? -1;
}

const stageDirectories: string[] = [];

/** A coordinator for examples that join one. Its steps take time and no processor, which the examples need. */
function startStage(...more: string[]): CoordProcess {
  const runDir = join(temporaryDirectory(), 'run');
  stageDirectories.push(runDir);
  const settings = ['--workers', '1', '--token', TOKEN, '--set', 'epochs=100000'];
  return coord(['start', TINY, '--json', ...settings, '--run-dir', runDir, ...more], {
    env: { COORD_FAULT: 'slow-grains=50' },
  });
}

async function leavesWhenReady(process: CoordProcess, coordinator: CoordProcess, from: number): Promise<void> {
  await Promise.race([coordinator.event('worker-ready', from), process.exited]);
  process.kill('SIGINT');
}

/** Exit statuses that are right for an example here. 2: an engine or a network that this machine does not have, said so. */
function expectedStatus(words: readonly string[]): number[] {
  if (words[0] === 'start') return [130, 0];
  // -1: ended by the signal itself, before it listens for it.
  if (waitsForMachines(words)) return [130, -1];
  // The coordinator of this test has one worker, which is called otherwise.
  if (words[0] === 'drain') return [2];
  if (words[0] === 'bench' && (words[1] === 'overlap' || words.includes('--megabits'))) return [0, 2];
  return words.includes('--engine') ? [0, 2] : [0];
}

describe('an example in the documentation', () => {
  let stage: Stage;
  let coordinator: CoordProcess;
  let secureCoordinator: CoordProcess;
  let natsServer: TestNatsServer | undefined;
  let natsCoordinator: CoordProcess | undefined;

  beforeAll(async () => {
    const run = join(temporaryDirectory(), 'run');
    await interruptedRun(run);
    const checkpoints = join(run, 'checkpoints');
    coordinator = startStage();
    secureCoordinator = startStage('--tls', '--listen', '127.0.0.1:0');
    const { urls } = (await coordinator.event('listening')) as CoordEvent & { urls: string[] };
    await coordinator.event('step');
    if (natsServerProgram) {
      natsServer = await startNatsServer();
      natsCoordinator = startStage('--transport', 'nats', '--nats', natsServer.url);
      await natsCoordinator.event('step');
    }
    stage = {
      url: urls[0],
      natsUrl: natsServer?.url,
      run,
      secure: await secureStageOf(secureCoordinator),
      checkpoint: join(checkpoints, basename(readdirSync(checkpoints).sort()[0])),
    };
  });

  afterAll(async () => {
    await endAll();
    // Workers outlive a coordinator that is killed, and would wait for another one.
    stageDirectories.forEach(killWorkersOf);
    await natsServer?.stop();
  });

  it('is found at all', () => {
    expect(examples.length).toBeGreaterThan(15);
  });

  async function runExample(line: string, joined: CoordProcess): Promise<void> {
    const run = join(temporaryDirectory(), 'run');
    await cp(stage.run, run, { recursive: true });
    const words = staged(await withBench(line), stage, run);
    const before = joined.events.length;
    const process = coord([...words, ...additions(words, stage)]);
    if (words[0] === 'worker') await leavesWhenReady(process, joined, before);
    const goesOn = words[0] === 'start' || waitsForMachines(words);
    const code = goesOn ? await endsWhenSeen(process) : ((await process.exited).code ?? -1);
    const expected = words[0] === 'worker' ? [130, ...expectedStatus(words)] : expectedStatus(words);
    expect(expected, `${process.stdout.slice(-2000)}\n${process.stderr}`).toContain(code);
  }

  const overSockets = examples.filter((line) => !needsNats(line));
  const joins = (line: string): boolean => line.startsWith('coord worker');

  it.concurrent.each(overSockets.filter((line) => !joins(line)))('%s', (line) =>
    runExample(line, isSecure(line) ? secureCoordinator : coordinator),
  );

  // One at a time: each is done when the coordinator says that a worker is ready, whichever.
  it.each(overSockets.filter(joins))('%s', (line) =>
    runExample(line, isSecure(line) ? secureCoordinator : coordinator),
  );

  it.skipIf(natsServerProgram === undefined).each(examples.filter(needsNats))(
    '%s (skipped where there is no nats-server)',
    (line) => runExample(line, natsCoordinator as CoordProcess),
  );
});
