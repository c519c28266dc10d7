import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { EXIT_CODE } from '@coord/protocol';
import { interruptible } from '../bench/interruptible.js';
import { measureRun, trainingOnly } from '../bench/measure-run.js';
import { createShapedNetwork, type ShapedNetwork } from '../bench/shaped-network.js';
import { median } from '../bench/statistics.js';
import { PHASE_KEYS, type RunMeasurement } from '../bench/step-watch.js';
import { isolationOf, possibleIsolation, runIsolated } from '../chaos/isolate.js';
import { loadConfig } from '../config/load.js';
import { parseOverride } from '../config/override.js';
import type { RunConfig } from '../config/schema.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { OverlapOptions } from '../options.js';
import { writeTimeline } from '../timeline/write.js';
import { formatTable, plural } from '../view/format.js';

/** The first step does not overlap, and the second compiles the stages. */
const WARMUP_STEPS = 4;
const MODES = ['off', 'on'] as const;
type Mode = (typeof MODES)[number];

/** Where the workers of a run are. */
type Place = Pick<ShapedNetwork, 'hub' | 'prefixOf'>;

type Interruptible<Options> = Options & { readonly signal: AbortSignal };

interface ModeResult {
  readonly overlap: Mode;
  /** Medians over rounds of the mean a step and worker. */
  readonly times: RunMeasurement['times'];
}

/**
 * @throws CoordError USAGE where workers cannot have network namespaces, and must; errors of the configuration or of the runs.
 */
export async function runBenchOverlap(configFile: string, options: OverlapOptions, io: CommandIo): Promise<number> {
  const config = await loadConfig(configFile, (options.set ?? []).map(parseOverride));
  const inNamespaces = isolationOf(io.env)?.network === true;
  if (!inNamespaces && options.links !== 'limited') {
    const possible = possibleIsolation(options.links, '--links limited');
    if (possible.network) return runIsolated(possible, io);
  }
  return interruptible(io, (signal) => measureOverlap(config, configFile, { ...options, signal }, io));
}

async function measureOverlap(
  config: RunConfig,
  configFile: string,
  options: Interruptible<OverlapOptions>,
  io: CommandIo,
): Promise<number> {
  const inNamespaces = isolationOf(io.env)?.network === true;
  const network = inNamespaces
    ? await createShapedNetwork(options.workers, options.megabits)
    : limitedLinks(options.megabits);
  const runs: Record<Mode, RunMeasurement[]> = { off: [], on: [] };
  // In turns, so that a machine that slows down spoils both alike.
  for (let round = 0; round < options.repeats; round++) {
    for (const mode of MODES) {
      const measured = await measureMode(config, mode, configFile, options, network);
      runs[mode].push(measured);
      if (!options.json) writeLine(io.stderr, `overlap ${mode}: ${measured.times.totalMs.toFixed(0)} ms a step`);
    }
  }
  const results = MODES.map((overlap) => ({ overlap, times: medianTimes(runs[overlap]) }));
  const ratio = results[0].times.totalMs / results[1].times.totalMs;
  const { megabits, workers, steps } = options;
  const links = inNamespaces ? 'namespaces' : 'limited';
  if (options.json) writeJson(io.stdout, { config: configFile, links, megabits, workers, steps, results, ratio });
  else writeLine(io.stdout, report(configFile, { ...options, links }, results, ratio));
  return EXIT_CODE.ok;
}

/** Without namespaces: links over loopback, and workers that send no faster. */
const limitedLinks = (megabits: number): Place => ({
  hub: '127.0.0.1',
  prefixOf: () => ['env', `COORD_FAULT=slow-links=${megabits}`],
});

function measureMode(
  config: RunConfig,
  overlap: Mode,
  configFile: string,
  { workers, steps, timeline, signal }: Interruptible<OverlapOptions>,
  { hub, prefixOf }: Place,
): Promise<RunMeasurement> {
  const base = trainingOnly({ ...config, ring: { ...config.ring, overlap } }, workers);
  return measureRun(
    { ...base, local: 'processes', listen: `${hub}:0` },
    {
      directory: dirname(resolve(configFile)),
      warmupSteps: WARMUP_STEPS,
      steps,
      workerPrefix: prefixOf,
      signal,
      async onDone(runDir) {
        if (timeline === undefined) return;
        await mkdir(timeline, { recursive: true });
        await writeTimeline(runDir, join(timeline, `overlap-${overlap}.json`));
      },
    },
  );
}

function medianTimes(runs: readonly RunMeasurement[]): RunMeasurement['times'] {
  const entries = PHASE_KEYS.map((key) => [key, median(runs.map(({ times }) => times[key]))] as const);
  return Object.fromEntries(entries) as unknown as RunMeasurement['times'];
}

function report(configFile: string, options: OverlapOptions, results: readonly ModeResult[], ratio: number): string {
  const { workers, megabits, steps, repeats, links } = options;
  const how = links === 'namespaces' ? 'network namespaces' : 'loopback, limited by the senders';
  const rows = results.map(({ overlap, times }) => [overlap, ...PHASE_KEYS.map((key) => times[key].toFixed(0))]);
  return [
    `${configFile}: ${plural(workers, 'worker')} over links of ${megabits} Mbit/s (${how}), ${steps} steps after ${WARMUP_STEPS} of warm-up, median of ${plural(repeats, 'run')}`,
    '',
    formatTable(['overlap', ...PHASE_KEYS.map((key) => `${key.replace(/Ms$/, '')} ms`)], rows),
    '',
    `a step without overlap takes ${ratio.toFixed(2)} times as long as one with it`,
  ].join('\n');
}
