/** Where blocks of samples are kept between runs, by every worker of this user. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from './io.js';

export function defaultCacheDirectory(env: CommandIo['env']): string {
  const base = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return env.COORD_CACHE_DIR || join(base, 'coord', 'blocks');
}
