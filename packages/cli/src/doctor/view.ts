/** The doctor's report for people. Pure. */
import { formatRate, formatTable } from '../view/format.js';
import type { CoordinatorReport, DoctorReport, EngineReport, MissingEngine, StorageReport } from './report.js';

const row = (label: string, value: string): string => `${label.padEnd(12)} ${value}`;

const listOr = (items: readonly string[], none: string): string => (items.length > 0 ? items.join(', ') : none);

const GIB = 2 ** 30;
const formatGib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`;

export function formatDoctor(report: DoctorReport): string {
  const { hardware, clock, advice } = report;
  const cores = `${hardware.cores} ${hardware.cores === 1 ? 'core' : 'cores'}`;
  return [
    row('system', `${hardware.system}, Node ${hardware.node}`),
    row('processor', `${hardware.cpu}, ${cores}; ${listOr(hardware.instructionSets, 'instruction sets unknown')}`),
    ...(hardware.load > hardware.cores / 2 ? [row('', formatBusy(hardware))] : []),
    row('memory', `${formatGib(hardware.memoryBytes)}, ${formatGib(hardware.freeMemoryBytes)} free`),
    row('GPU', listOr(hardware.gpus, 'none found by the system')),
    row('loopback', `${formatGib(report.loopback.bytesPerSecond)}/s through a segment link`),
    ...(report.coordinator ? [row('coordinator', formatCoordinator(report.coordinator))] : []),
    row('clock', formatClock(clock)),
    row('cache', formatStorage(report.storage)),
    '',
    formatEngines(report.engines),
    '',
    row('auto', report.auto ?? 'no engine works here'),
    ...advice.sentences.map((sentence, index) => row(index === 0 ? 'advice' : '', sentence)),
    ...report.engines.filter((engine) => !engine.works).flatMap(formatMissing),
  ].join('\n');
}

const formatBusy = ({ load, cores }: DoctorReport['hardware']): string =>
  `busy: ${load.toFixed(1)} processes want ${cores === 1 ? 'the core' : `the ${cores} cores`}, so speed figures are low`;

function formatCoordinator(found: CoordinatorReport): string {
  if (!found.reachable) return `${found.url} does not answer: ${found.reason}`;
  const skew = found.clockSkewMs === null ? 'clock skew unknown' : `its clock is ${signed(found.clockSkewMs)} ms off`;
  return `${found.url}, ${found.roundTripMs.toFixed(2)} ms there and back; ${skew}`;
}

const signed = (value: number): string => (value > 0 ? `+${value}` : String(value));

function formatClock({ isMonotonic, resolutionMs, wallClockJumpMs }: DoctorReport['clock']): string {
  const monotonic = isMonotonic ? 'monotonic' : 'GOES BACK, which time-outs do not stand';
  const jump = Math.abs(wallClockJumpMs) > 100 ? `; the wall clock jumped by ${signed(wallClockJumpMs)} ms` : '';
  return `${monotonic}, steps of ${(resolutionMs * 1000).toFixed(2)} µs${jump}`;
}

function formatStorage({ cacheDirectory, isWritable, reason, freeBytes }: StorageReport): string {
  if (!isWritable || freeBytes === null) return `${cacheDirectory} cannot be written: ${reason}`;
  return `${cacheDirectory} is writable, ${formatGib(freeBytes)} free`;
}

function formatEngines(engines: readonly EngineReport[]): string {
  const rows = engines.map((engine) => {
    if (!engine.works) return [engine.engine, 'no', '–', '–', '–', '–'];
    const { identity, gradientError, speed } = engine;
    const rate = speed ? formatRate(speed.samplesPerSecond) : '–';
    return [
      engine.engine,
      'yes',
      gradientError.toExponential(0),
      rate,
      speed ? String(speed.batch) : '–',
      identity.device,
    ];
  });
  return formatTable(['engine', 'works', 'gradient error', 'samples/s', 'batch', 'device'], rows);
}

const formatMissing = (engine: EngineReport): string[] => (engine.works ? [] : ['', ...reasonAndCure(engine)]);

const reasonAndCure = ({ engine, computesOn, reason, howToGet }: MissingEngine): string[] => [
  `${engine} (${computesOn}) does not work: ${reason}`,
  `    ${howToGet}`,
];
