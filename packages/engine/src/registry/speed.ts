/** How fast an engine computes gradients: a figure for `coord doctor`, not a benchmark. */
import type { Clock } from '@coord/protocol';
import type { CompiledStep, Engine } from '../engine.js';
import { type SampleStep, sampleStep } from './sample-step.js';

const BATCH = 64;

export interface EngineSpeed {
  readonly samplesPerSecond: number;
  /** Samples of one grain while it was measured: 64, or fewer where 64 would take too long. */
  readonly batch: number;
}

/** Gradients of the library's default `cnn`, over and over for `durationMs` after a warm-up. */
export async function measureSpeed(engine: Engine, durationMs: number, clock: Clock): Promise<EngineSpeed> {
  const sample = sampleStep('default');
  const step = await engine.compile(sample.spec);
  try {
    const batch = await affordableBatch(step, sample, durationMs, clock);
    await timeGradient(step, sample, batch, clock);
    let steps = 0;
    let elapsedMs = 0;
    while (elapsedMs < durationMs) {
      elapsedMs += await timeGradient(step, sample, batch, clock);
      steps++;
    }
    return { samplesPerSecond: (steps * batch * 1000) / elapsedMs, batch };
  } finally {
    step.dispose();
  }
}

/** Slow engines would take half a minute for one grain of 64. */
async function affordableBatch(step: CompiledStep, sample: SampleStep, durationMs: number, clock: Clock) {
  await timeGradient(step, sample, 1, clock);
  const oneMs = await timeGradient(step, sample, 1, clock);
  return Math.max(1, Math.min(BATCH, Math.floor(durationMs / oneMs)));
}

async function timeGradient(step: CompiledStep, { weights, batch }: SampleStep, count: number, clock: Clock) {
  const samples = batch(count);
  const out = new Float32Array(step.layout.totalSize);
  const startMs = clock.nowMs();
  await step.gradient(weights, samples, { step: 0, grain: 0 }, out);
  return clock.nowMs() - startMs;
}
