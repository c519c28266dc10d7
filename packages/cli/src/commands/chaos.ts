import { fileURLToPath } from 'node:url';
import { CoordError, EXIT_CODE } from '@coord/protocol';
import { stringify } from 'yaml';
import { interruptible } from '../bench/interruptible.js';
import { generateSchedule } from '../chaos/generate.js';
import { type Isolation, isolationOf, possibleIsolation, runIsolated } from '../chaos/isolate.js';
import { type ChaosReport, formatReport } from '../chaos/report.js';
import { type ChaosOptions as RunOptions, runChaos } from '../chaos/run.js';
import { FAULT_KINDS, type FaultKind, loadSchedule, type Schedule } from '../chaos/schedule.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { ChaosOptions } from '../options.js';

const TINY = fileURLToPath(new URL('../../../../configs/synthetic-tiny.yaml', import.meta.url));
/** A run without end, and without pauses in which nothing can be disturbed. */
const SETTINGS = [
  'epochs=1000000',
  'evaluation.everyEpochs=5',
  'checkpoint.everyEpochs=0',
  'checkpoint.everySteps=100',
];
const STEPS_A_FAULT = 40;
const NO_ISOLATION: Isolation = { network: false, mounts: false };
/** Of a measurement, before and after the faults. */
const QUIET_MS = 20_000;
/** Twelve workers or fewer share these evenly, whichever of them are there. */
const EVEN_GRAINS = 24;

/** @throws CoordError CHAOS_FAILED, USAGE, CONFIG_INVALID, and what ended the run. */
export async function runChaosCommand(
  config: string | undefined,
  options: ChaosOptions,
  io: CommandIo,
): Promise<number> {
  const isolation = isolationOf(io.env);
  if (!isolation) {
    const possible = possibleIsolation(options.network, '--network proxy');
    if (possible.mounts) return runIsolated(possible, io);
  }
  return interruptible(io, async (signal) =>
    report({ ...(await runOptions(config, options, isolation ?? NO_ISOLATION, io)), signal }, options, io),
  );
}

async function report(run: RunOptions, options: ChaosOptions, io: CommandIo): Promise<number> {
  if (options.json) writeJson(io.stdout, { event: 'schedule', ...run.schedule });
  else writeLine(io.stdout, stringify(run.schedule));
  const result = await runChaos(run);
  if (options.json) writeJson(io.stdout, { event: 'chaos', ...result });
  else writeLine(io.stdout, formatReport(result));
  if (!result.ok) throw chaosFailed(result);
  return EXIT_CODE.ok;
}

async function runOptions(
  config: string | undefined,
  options: ChaosOptions,
  isolation: Isolation,
  io: CommandIo,
): Promise<Omit<RunOptions, 'signal'>> {
  const durationMs = options.minutes === undefined ? undefined : options.minutes * 60_000;
  const steps = options.steps ?? options.faults * STEPS_A_FAULT;
  const schedule = options.schedule ? await loadSchedule(options.schedule) : draw(options, steps, isolation);
  requireDisk(schedule, isolation);
  const grains = options.measure ? [`batch.grains=${EVEN_GRAINS}`] : [];
  const length = durationMs === undefined ? [`maxSteps=${steps}`] : [];
  return {
    config: config ?? TINY,
    settings: [...SETTINGS, ...grains, ...length, ...(options.set ?? [])],
    schedule,
    isolation,
    paceMs: options.pace ?? (options.measure ? 20 : 10),
    durationMs,
    watch: options.watch ?? false,
    quietMs: options.measure ? QUIET_MS : 0,
    keep: options.keep,
    say: (text) => writeLine(options.json ? io.stderr : io.stdout, text),
  };
}

function draw(options: ChaosOptions, steps: number, { mounts }: Isolation): Schedule {
  const { minutes, every, workers, seed, spare } = options;
  const durationMs = (minutes ?? 0) * 60_000;
  const kinds = kindsOf(options).filter((kind) => mounts || kind !== 'disk-full');
  const span =
    minutes === undefined
      ? ({ unit: 'atStep', from: Math.ceil(steps * 0.03), to: Math.floor(steps * 0.85) } as const)
      : ({ unit: 'atMs', from: 0, to: durationMs } as const);
  const count = minutes === undefined ? options.faults : Math.floor(durationMs / (every * 1000));
  return generateSchedule({ seed, workers, count, kinds, span, spare });
}

const kindsOf = ({ kinds, measure }: ChaosOptions): readonly FaultKind[] => kinds ?? (measure ? ['kill'] : FAULT_KINDS);

/** @throws CoordError USAGE */
function requireDisk({ faults }: Schedule, { mounts }: Isolation): void {
  if (mounts || !faults.some(({ kind }) => kind === 'disk-full')) return;
  throw new CoordError('USAGE', 'the schedule fills a disk, and no file system can be mounted here for that', {
    hint: 'Run it as root on Linux, or leave out the faults of kind disk-full.',
  });
}

function chaosFailed({ equal, audit, missed, growth, seed }: ChaosReport): CoordError {
  const grows = growth?.filter((one) => one.grows) ?? [];
  const reasons = [
    ...(equal ? [] : ['the weights are not those of the undisturbed run']),
    ...(audit.findings.length > 0 ? [`the audit has ${audit.findings.length} findings`] : []),
    ...(missed.length > 0 ? [`the run ended before ${missed.length} of the faults`] : []),
    ...grows.map(({ who, quantity }) => `${quantity} of ${who} grows`),
  ];
  return new CoordError('CHAOS_FAILED', reasons.join('; '), {
    hint: 'The printed schedule repeats it: coord chaos --schedule FILE. docs/chaos.md says how to read the report.',
    facts: { seed },
  });
}
