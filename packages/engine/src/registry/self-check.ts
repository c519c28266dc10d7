/** Whether an engine computes what it should: its gradient of a tiny network beside the reference's. */
import { CoordError } from '@coord/protocol';
import type { Engine } from '../engine.js';
import { createEagerEngine } from '../tfjs/eager-engine.js';
import { type SampleStep, sampleStep } from './sample-step.js';
import { MAX_GRADIENT_ERROR } from './tolerance.js';

const SAMPLES = 4;

/** Largest difference from the reference's gradient, relative to that gradient's largest value. @throws CoordError ENGINE_FAILED */
export async function gradientError(engine: Engine): Promise<number> {
  const step = sampleStep('tiny');
  const expected = await gradientOn(createEagerEngine(), step);
  const actual = await gradientOn(engine, step);
  let largest = 0;
  let difference = 0;
  expected.forEach((value, at) => {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - actual[at]) || (Number.isNaN(actual[at]) ? Infinity : 0));
  });
  return difference / largest;
}

/** @throws CoordError ENGINE_FAILED when the engine computes something else than the reference */
export async function requireAgreement(engine: Engine): Promise<number> {
  const error = await gradientError(engine);
  if (error <= MAX_GRADIENT_ERROR) return error;
  throw new CoordError('ENGINE_FAILED', `engine ${engine.name} computes wrong gradients: they are off by ${error}`, {
    hint: 'Choose another engine; a newer driver may help.',
    facts: { engine: engine.name, error, limit: MAX_GRADIENT_ERROR },
  });
}

async function gradientOn(engine: Engine, { spec, weights, batch }: SampleStep): Promise<Float32Array> {
  const step = await engine.compile(spec);
  const out = new Float32Array(step.layout.totalSize);
  await step.gradient(weights, batch(SAMPLES), { step: 0, grain: 0 }, out);
  step.dispose();
  return out;
}
