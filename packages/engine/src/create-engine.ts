/** Engines by name. Each engine's library is loaded only when it is asked for. */
import { CoordError, type EngineName } from '@coord/protocol';
import type { Engine } from './engine.js';
import { AUTO_ORDER, type Candidate, mayTry } from './registry/auto.js';
import { type ConcreteEngine, ENGINE_GUIDES } from './registry/guide.js';
import { ProvingEngine } from './registry/proving-engine.js';
import { requireAgreement } from './registry/self-check.js';
import type { EagerBackend } from './tfjs/eager-backend.js';

export interface EngineOptions {
  readonly name: EngineName;
  /** Threads inside one operation, where the engine can be told. */
  readonly threads: number;
  /** Other threads of this process compute as well. ONNX Runtime's WebGPU provider crashes then, so it is refused. */
  readonly sharesProcess?: boolean;
}

type Factory = (options: EngineOptions) => Promise<Engine>;

type EagerLibrary = typeof import('./tfjs/eager-backend.js');

const eager = (load: (library: EagerLibrary) => EagerBackend | Promise<EagerBackend>): Factory => {
  return async () => {
    const backend = await load(await import('./tfjs/eager-backend.js'));
    return (await import('./tfjs/eager-engine.js')).createEagerEngine(backend);
  };
};

const FACTORIES: Readonly<Record<ConcreteEngine, Factory>> = {
  ort: async ({ threads }) => (await import('./ort/ort-engine.js')).createOrtEngine({ threads }),
  'ort-webgpu': createOrtWebGpu,
  'ort-cuda': async () => (await import('./ort/ort-engine.js')).createOrtGpuEngine('cuda'),
  'tfjs-node-gpu': eager((library) => library.loadTfjsNodeBackend('tfjs-node-gpu')),
  'tfjs-node': eager((library) => library.loadTfjsNodeBackend('tfjs-node')),
  'tfjs-webgpu': eager((library) => library.loadWebGpuBackend()),
  'tfjs-cpu': eager((library) => library.CPU_BACKEND),
};

/** @throws CoordError ENGINE_UNAVAILABLE, with the reason and what to do */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  if (options.name === 'auto') return createBestEngine(options);
  return createNamed(options.name, options);
}

async function createNamed(name: ConcreteEngine, options: EngineOptions): Promise<Engine> {
  try {
    return await FACTORIES[name](options);
  } catch (cause) {
    throw unavailable(name, cause);
  }
}

/**
 * The first of the order that works here. Engines that only some machines have must prove that they compute right, and make
 * way for the next one when they cannot do so for a model.
 */
async function createBestEngine(options: EngineOptions, order: readonly Candidate[] = AUTO_ORDER): Promise<Engine> {
  let lastError: unknown;
  for (const [index, { name, isEverywhere }] of order.entries()) {
    if (!(await mayTry(name, options.sharesProcess === true))) continue;
    try {
      const engine = await createNamed(name, options);
      if (isEverywhere) return engine;
      await requireAgreement(engine);
      return new ProvingEngine(engine, () => createBestEngine(options, order.slice(index + 1)));
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
}

async function createOrtWebGpu({ sharesProcess }: EngineOptions): Promise<Engine> {
  if (sharesProcess) throw new Error('it can compute on one thread of a process only; use --workers 1');
  return (await import('./ort/ort-engine.js')).createOrtGpuEngine('webgpu');
}

function unavailable(name: ConcreteEngine, cause: unknown): CoordError {
  const reason = reasonOf(cause);
  return new CoordError('ENGINE_UNAVAILABLE', `engine ${name} does not work here: ${reason}`, {
    hint: `${ENGINE_GUIDES[name].howToGet} \`coord doctor\` lists the engines that work on this machine.`,
    facts: { engine: name, reason, platform: process.platform, arch: process.arch },
    cause,
  });
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).split('\n')[0];
