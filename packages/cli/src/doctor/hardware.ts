/** The machine as its operating system describes it. What cannot be read is left out. */
import { readdirSync, readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { nvidiaModels } from '@coord/engine';
import type { HardwareReport } from './report.js';

export const examineHardware = (): HardwareReport => ({
  system: `${type()} ${release()} ${arch()}`,
  node: process.version,
  cpu: cpus()[0]?.model.trim() || 'unknown',
  cores: usableCores(availableParallelism(), readText('/sys/fs/cgroup/cpu.max')),
  load: loadavg()[0],
  instructionSets: instructionSetsIn(readText('/proc/cpuinfo')),
  memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
  freeMemoryBytes: freemem(),
  gpus: [...nvidiaModels(), ...displayAdapters()],
});

/** @param cpuMax of a control group, `QUOTA PERIOD` in microseconds or `max PERIOD`: containers are limited by it. */
export function usableCores(cores: number, cpuMax: string): number {
  const [quota, period] = cpuMax.split(' ').map(Number);
  const limit = quota / period;
  return Number.isFinite(limit) && limit > 0 ? Math.max(1, Math.min(cores, Math.round(limit))) : cores;
}

/** Those that decide how fast tensor kernels are, under the names of /proc/cpuinfo. */
const TELLING = ['sse4_2', 'avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_tile', 'asimd', 'sve'];

export function instructionSetsIn(cpuinfo: string): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? '';
  const flags = new Set(line.split(/\s+/));
  return TELLING.filter((name) => flags.has(name));
}

const PCI_VENDORS: Readonly<Record<string, string>> = { '0x1002': 'AMD', '0x8086': 'Intel', '0x10de': 'NVIDIA' };
const DISPLAYS = '/sys/class/drm';

/** GPUs of Linux's display drivers, NVIDIA's own apart, which names its models. */
function displayAdapters(): string[] {
  const cards = listDirectory(DISPLAYS).filter((name) => /^card\d+$/.test(name));
  return cards.flatMap((card) => {
    const read = (file: string) => readText(join(DISPLAYS, card, 'device', file)).trim();
    const vendor = PCI_VENDORS[read('vendor')];
    return vendor && vendor !== 'NVIDIA' ? [`${vendor} device ${read('device')}`] : [];
  });
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
