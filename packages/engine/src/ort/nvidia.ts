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

function modelAt(address: string): string {
  const text = readFileSync(join(DRIVER, address, 'information'), 'utf8');
  return /^Model:\s*(.+)$/m.exec(text)?.[1].trim() ?? `device at ${address}`;
}
