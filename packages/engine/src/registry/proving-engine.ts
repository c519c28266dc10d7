/** An engine that must compute one gradient of a model right before it may train it, with another one behind it. */
import { type Batch, type Field, isCoordError, type NumericIdentity, sizeOfShape } from '@coord/protocol';
import type { CompiledStep, Engine, StepSpec } from '../engine.js';
import { initialWeights } from '../initial-weights.js';

export class ProvingEngine implements Engine {
  /** @param next makes the engine that takes over; asked at most once. */
  constructor(
    private current: Engine,
    private next: (() => Promise<Engine>) | undefined,
  ) {}

  get name(): string {
    return this.current.name;
  }

  /** Of the engine that computes: final once a model is compiled. */
  get identity(): NumericIdentity {
    return this.current.identity;
  }

  async compile(spec: StepSpec): Promise<CompiledStep> {
    const step = await this.current.compile(spec);
    if (!this.next) return step;
    try {
      await computeOnce(step, spec);
      return step;
    } catch (error) {
      if (!isCoordError(error, 'ENGINE_FAILED')) throw error;
      step.dispose();
      this.current.dispose();
      this.current = await this.next();
      this.next = undefined;
      return this.current.compile(spec);
    }
  }

  dispose(): void {
    this.current.dispose();
  }
}

/** One sample of no meaning: zero is a label and an index everywhere. */
async function computeOnce(step: CompiledStep, { inputs, targets, topology, seed }: StepSpec): Promise<void> {
  const batch: Batch = { count: 1, inputs: inputs.map(sampleOf), targets: targets.map(sampleOf) };
  const { weights } = initialWeights(topology, seed);
  await step.gradient(weights, batch, { step: 0, grain: 0 }, new Float32Array(step.layout.totalSize));
}

function sampleOf({ dtype, shape }: Field): Float32Array | Int32Array {
  const size = sizeOfShape(shape);
  return dtype === 'int32' ? new Int32Array(size) : Float32Array.from({ length: size }, (_, at) => (at % 7) / 7);
}
