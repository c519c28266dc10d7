/** What `coord start` begins with: a new run from a configuration file, or an earlier one that goes on. */
import { randomInt } from 'node:crypto';
import { dirname, join, relative, resolve } from 'node:path';
import { requireFree } from '@coord/coordinator';
import { CoordError, type TrainingState } from '@coord/protocol';
import { type CertificateFiles, certificateFilesOf } from './certificate-files.js';
import { loadConfig, parseConfig } from './config/load.js';
import { type PreparedRun, toRunSpec } from './config/run-spec.js';
import type { RunConfig } from './config/schema.js';
import { readCoordinatorRecord } from './coordinator-file.js';
import { createInitialState, resumeState } from './initial-state.js';
import type { StartOptions } from './options.js';
import { overridesOf } from './overrides-of.js';
import { createRunDirectory, type RunRecord, readRunRecord, runName, writeRunRecord } from './run-directory.js';

export interface PreparedStart {
  readonly config: RunConfig;
  readonly prepared: PreparedRun;
  readonly initialState: TrainingState;
  readonly runDir: string;
  readonly resumed: boolean;
  /** What its user must know of the state that it begins with. */
  readonly notes?: readonly string[];
  /** Of the certificate that it shows; undefined where it does not speak TLS. */
  readonly certificateFiles?: CertificateFiles | undefined;
}

/** @throws CoordError USAGE, CONFIG_*, MODEL_*, DATASET_*, CHECKPOINT_*. */
export function prepareStart(configFile: string | undefined, options: StartOptions): Promise<PreparedStart> {
  if (options.resume !== undefined) return prepareResume(options.resume, configFile, options);
  if (configFile === undefined) {
    throw new CoordError('USAGE', 'no configuration file was given', {
      hint: 'For a first run: coord start configs/mnist-cnn.yaml. To continue one: coord start --resume RUN.',
    });
  }
  return prepareNew(configFile, options);
}

async function prepareNew(configFile: string, options: StartOptions): Promise<PreparedStart> {
  const config = await loadConfig(configFile, overridesOf(options));
  const directory = dirname(resolve(configFile));
  const runId = createShortId();
  const prepared = await toRunSpec(config, { runId, directory });
  const now = new Date();
  const runDir = options.runDir ?? join('runs', runName(now, prepared.spec.model.name, runId));
  const certificateFiles = certificateFilesOf(runDir, options);
  await createRunDirectory(runDir, {
    runId,
    configSha256: prepared.spec.configSha256,
    createdAt: now.toISOString(),
    configFile,
    directory,
    config,
  });
  return {
    config,
    prepared,
    initialState: createInitialState(prepared),
    runDir,
    resumed: false,
    certificateFiles,
  };
}

async function prepareResume(
  runDir: string,
  configFile: string | undefined,
  options: StartOptions,
): Promise<PreparedStart> {
  if (configFile !== undefined || options.runDir !== undefined) {
    throw new CoordError('USAGE', '--resume goes without a configuration file and without --run-dir', {
      hint: 'The run directory holds its configuration; change single keys with --set.',
    });
  }
  const record = await readRunRecord(runDir);
  // Before anything is written into the directory of a run that goes on.
  await requireFree(runDir);
  const config = overridden(runDir, record, options);
  const prepared = await toRunSpec(config, { runId: record.runId, directory: record.directory });
  const { state, notes } = await resumeState({ runDir, prepared, before: record.config, now: config });
  await writeRunRecord(runDir, { ...record, config });
  // Workers of the start before look for their coordinator where it was.
  const former = await readCoordinatorRecord(runDir);
  const listen = setsListen(options) ? config.listen : (former?.listen ?? config.listen);
  return {
    config: { ...config, listen },
    prepared,
    initialState: state,
    runDir: shortest(runDir),
    resumed: true,
    notes,
    certificateFiles: certificateFilesOf(runDir, options, former?.certificate),
  };
}

const setsListen = ({ listen, set = [] }: StartOptions): boolean =>
  listen !== undefined || set.some((setting) => setting.startsWith('listen='));

const overridden = (runDir: string, record: RunRecord, options: StartOptions): RunConfig =>
  parseConfig({ file: join(runDir, 'config.json'), text: JSON.stringify(record.config) }, overridesOf(options));

/** The path as people would type it from here. */
function shortest(path: string): string {
  const absolute = resolve(path);
  const fromHere = relative('', absolute);
  return fromHere !== '' && fromHere.length < absolute.length ? fromHere : absolute;
}

const ID_LENGTH = 4;
const ALPHABET = '23456789abcdefghjkmnpqrstuvwxyz';

/** Short enough to say aloud, without letters that look like digits. */
const createShortId = (): string =>
  Array.from({ length: ID_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
