/** NVIDIA's devices as their Linux driver lists them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const DRIVER = '/proc/driver/nvidia/gpus';

/** Models by PCI address; [] where that driver is not loaded. */
export function nvidiaModels(): string[] {
  try {
    return readdirSync(DRIVER).sort().map(modelAt);
  } catch {
    return [];
  }
}

/** The device that CUDA takes as its first, where devices are chosen by number and in the order of their addresses. */
export function firstModel(
  models: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const [chosen] = env.CUDA_VISIBLE_DEVICES?.split(',') ?? [];
  return models[/^\d+$/.test(chosen ?? '') ? Number(chosen) : 0];
}

function modelAt(address: string): string {
  const text = readFileSync(join(DRIVER, address, 'information'), 'utf8');
  return /^Model:\s*(.+)$/m.exec(text)?.[1].trim() ?? `device at ${address}`;
}
