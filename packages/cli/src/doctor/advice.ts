/** How many workers and threads suit this machine. */
import type { ConcreteEngine } from '@coord/engine';
import type { Advice } from './report.js';

const ON_GPU: ReadonlySet<ConcreteEngine> = new Set(['ort-cuda', 'ort-webgpu', 'tfjs-node-gpu', 'tfjs-webgpu']);

export function adviceFor(cores: number, auto: ConcreteEngine | null): Advice {
  if (auto !== null && ON_GPU.has(auto)) {
    const sentences = ['One worker a GPU (coord start CONFIG --workers 1): more of them would only take turns on it.'];
    return { workers: 1, threads: 1, sentences };
  }
  const workers = `${cores} ${cores === 1 ? 'worker' : 'workers'}`;
  return {
    workers: cores,
    threads: 1,
    sentences: [
      `${workers} with one thread each (coord start CONFIG --workers ${cores}): one a core beats one worker with many threads.`,
      'engine.threads is part of the numeric identity: the same on all machines of a run, or its bits differ from other runs.',
    ],
  };
}
