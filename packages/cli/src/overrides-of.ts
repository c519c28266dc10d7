/** Flags of `coord start` that stand for a configuration key. */
import { type Override, type OverrideProblem, parseOverride } from './config/override.js';
import type { StartOptions } from './options.js';

const SHORT_FORMS = [
  { option: 'workers', flag: '--workers', key: 'workers' },
  { option: 'minWorkers', flag: '--min-workers', key: 'minWorkers' },
  { option: 'floorWorkers', flag: '--floor-workers', key: 'floorWorkers' },
  { option: 'maxWorkers', flag: '--max-workers', key: 'maxWorkers' },
  { option: 'listen', flag: '--listen', key: 'listen' },
  { option: 'transport', flag: '--transport', key: 'transport' },
  { option: 'nats', flag: '--nats', key: 'nats' },
  { option: 'seed', flag: '--seed', key: 'seed' },
] as const;

const readValue = (text: string): unknown => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text);

/** Every override of the command line; short forms win over `--set`. */
export function overridesOf(options: StartOptions): (Override | OverrideProblem)[] {
  const short = SHORT_FORMS.flatMap(({ option, flag, key }): Override[] => {
    const text = options[option];
    return text === undefined ? [] : [{ flag: `${flag} ${text}`, path: [key], value: readValue(text) }];
  });
  return [...(options.set ?? []).map(parseOverride), ...short];
}
