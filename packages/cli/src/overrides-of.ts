/** Flags of `coord start` that stand for a configuration key. */
import { type Override, type OverrideProblem, parseOverride } from './config/override.js';
import type { StartOptions } from './options.js';

const SHORT_FORMS = [
  { option: 'workers', flag: '--workers', key: 'workers', read: readNumber },
  { option: 'minWorkers', flag: '--min-workers', key: 'minWorkers', read: readNumber },
  { option: 'floorWorkers', flag: '--floor-workers', key: 'floorWorkers', read: readNumber },
  { option: 'maxWorkers', flag: '--max-workers', key: 'maxWorkers', read: readNumber },
  { option: 'listen', flag: '--listen', key: 'listen', read: String },
  { option: 'transport', flag: '--transport', key: 'transport', read: String },
  { option: 'nats', flag: '--nats', key: 'nats', read: String },
  { option: 'seed', flag: '--seed', key: 'seed', read: readNumber },
] as const;

/** What is no number the schema names as such. */
function readNumber(text: string): unknown {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** Every override of the command line; short forms win over `--set`. */
export function overridesOf(options: StartOptions): (Override | OverrideProblem)[] {
  const short = SHORT_FORMS.flatMap(({ option, flag, key, read }): Override[] => {
    const text = options[option];
    return text === undefined ? [] : [{ flag: `${flag} ${text}`, path: [key], value: read(text) }];
  });
  return [...(options.set ?? []).map(parseOverride), ...impliedBy(options), ...short];
}

/** A NATS server is named in order to be used. */
function impliedBy({ nats, transport }: StartOptions): (Override | OverrideProblem)[] {
  if (nats === undefined || transport === 'nats') return [];
  const flag = `--nats ${nats}`;
  if (transport === 'ws') return [{ flag, message: 'means nothing with --transport ws' }];
  return transport === undefined ? [{ flag, path: ['transport'], value: 'nats' }] : [];
}
