/** Engines by name. */
import { CoordError, type EngineName } from '@coord/protocol';
import type { Engine } from './engine.js';

export interface EngineOptions {
  readonly name: EngineName;
  /** Compute threads of one worker. */
  readonly threads: number;
}

/**
 * The engine's library is loaded only when it is asked for.
 *
 * @throws CoordError ENGINE_UNAVAILABLE, with the reason
 */
export async function createEngine({ name, threads }: EngineOptions): Promise<Engine> {
  try {
    if (name === 'tfjs-cpu') return (await import('./tfjs/eager-engine.js')).createEagerEngine();
    return await (await import('./ort/ort-engine.js')).createOrtEngine({ threads });
  } catch (cause) {
    throw new CoordError('ENGINE_UNAVAILABLE', `engine ${name} does not work here: ${reasonOf(cause)}`, {
      hint: 'coord doctor lists the engines that work on this machine; tfjs-cpu always does, slowly.',
      facts: { engine: name, platform: process.platform, arch: process.arch },
      cause,
    });
  }
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message.split('\n')[0] : String(cause));
