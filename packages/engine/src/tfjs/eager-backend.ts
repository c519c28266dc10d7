/** Backends of the eager engine: each a tfjs backend that is loaded, if need be found, and made ready by its name. */
import { availableParallelism } from 'node:os';
import { version_core } from '@tensorflow/tfjs-core';
import { requireGpuAdapter } from '../gpu-adapter.js';
import { importOptional } from '../optional-package.js';
import type { ConcreteEngine } from '../registry/guide.js';
import { tf } from '../tensors.js';

export interface EagerBackend {
  readonly engine: ConcreteEngine;
  /** What tfjs calls the backend. */
  readonly name: string;
  readonly version: string;
  readonly device: string;
  readonly threads: number;
}

/** Plain JavaScript, one thread, the same bits on every machine. */
export const CPU_BACKEND: EagerBackend = {
  engine: 'tfjs-cpu',
  name: 'cpu',
  version: version_core,
  device: 'javascript',
  threads: 1,
};

/** @throws Error when there is no adapter or one of the two optional packages is missing */
export async function loadWebGpuBackend(): Promise<EagerBackend> {
  const { description } = await requireGpuAdapter();
  await importOptional('@tensorflow/tfjs-backend-webgpu');
  await activate('webgpu');
  return { engine: 'tfjs-webgpu', name: 'webgpu', version: version_core, device: description, threads: 1 };
}

interface TfjsNode {
  readonly version?: Readonly<Record<string, string>>;
}

/** Not in tfjs's types: what the backend of tfjs-node says about itself. */
interface TensorFlowBackend {
  readonly isUsingGpuDevice?: boolean;
}

/** @throws Error when the package is missing or has no GPU where it should */
export async function loadTfjsNodeBackend(engine: 'tfjs-node' | 'tfjs-node-gpu'): Promise<EagerBackend> {
  const packageName = `@tensorflow/${engine}`;
  const library = (await importOptional(packageName)) as TfjsNode;
  await activate('tensorflow');
  const isGpu = (tf.engine().findBackend('tensorflow') as TensorFlowBackend).isUsingGpuDevice === true;
  if (engine === 'tfjs-node-gpu' && !isGpu) throw new Error(`${packageName} is installed, but finds no CUDA device`);
  return {
    engine,
    name: 'tensorflow',
    version: library.version?.['tfjs-node'] ?? version_core,
    device: isGpu ? 'cuda' : process.arch,
    // TensorFlow takes all cores, and tfjs-node has no way to say otherwise.
    threads: isGpu ? 1 : availableParallelism(),
  };
}

/** Initialises a backend once; switching to it is synchronous from then on. */
async function activate(name: string): Promise<void> {
  if (!tf.engine().findBackendFactory(name)) {
    throw new Error(
      `there is another copy of tfjs beside ${version_core}, and the backend ${name} belongs to that one`,
    );
  }
  const before = tf.getBackend() ?? CPU_BACKEND.name;
  try {
    if (!(await tf.setBackend(name))) throw new Error(`tfjs could not initialise its backend ${name}`);
  } finally {
    await tf.setBackend(before === name ? CPU_BACKEND.name : before);
  }
}
