import { ERROR_RULES, EXIT_CODE } from '@coord/protocol';
import { defaultCacheDirectory } from '../cache-directory.js';
import { adviceFor } from '../doctor/advice.js';
import { watchClock } from '../doctor/clock.js';
import { examineEngines } from '../doctor/engines.js';
import { examineHardware } from '../doctor/hardware.js';
import { examineCoordinator, examineLoopback } from '../doctor/network.js';
import type { DoctorReport } from '../doctor/report.js';
import { examineStorage } from '../doctor/storage.js';
import { formatDoctor } from '../doctor/view.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { DoctorOptions } from '../options.js';
import { findToken } from '../token.js';

/**
 * @returns exit status 0 when at least one engine works.
 * @throws CoordError USAGE when the coordinator's address is none.
 */
export async function runDoctor(options: DoctorOptions, io: CommandIo): Promise<number> {
  const report = await examine(options, io);
  if (options.json) writeJson(io.stdout, { event: 'doctor', ...report });
  else writeLine(io.stdout, formatDoctor(report));
  const anyWorks = report.engines.some((engine) => engine.works);
  return anyWorks ? EXIT_CODE.ok : ERROR_RULES.ENGINE_UNAVAILABLE.exitCode;
}

async function examine(options: DoctorOptions, io: CommandIo): Promise<DoctorReport> {
  const endWatch = watchClock();
  const hardware = examineHardware();
  const token = findToken(options.token, io.env);
  const coordinator = options.coordinator === undefined ? null : await examineCoordinator(options.coordinator, token);
  const loopback = await examineLoopback();
  const storage = await examineStorage(options.cacheDir ?? defaultCacheDirectory(io.env));
  const { engines, auto } = await examineEngines(options.bench === true, progressFor(options, io));
  const advice = adviceFor(hardware.cores, auto);
  return { hardware, auto, engines, advice, loopback, coordinator, clock: endWatch(), storage };
}

/** Only where somebody watches. */
function progressFor({ json }: DoctorOptions, { stderr }: CommandIo): (text: string) => void {
  return json || !stderr.isTTY ? () => {} : (text) => writeLine(stderr, text);
}
