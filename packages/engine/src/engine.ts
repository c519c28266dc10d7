/** The one interface of all engines: a compiled step over one flat weight buffer, pure in (weights, batch, random key). */
import type {
  Batch,
  ElementRange,
  Field,
  Layout,
  LossChoice,
  MetricSpec,
  MetricSums,
  NumericIdentity,
} from '@coord/protocol';

export interface StepSpec {
  /** tfjs layers topology as JSON text. */
  readonly topology: string;
  readonly loss: LossChoice;
  /** What is measured beside loss and right answers. */
  readonly metrics?: readonly MetricSpec[];
  /** Fields of role `input`, in the order of the model's inputs. */
  readonly inputs: readonly Field[];
  /** Fields of role `target`, in the order of the model's outputs. */
  readonly targets: readonly Field[];
  /** Whether batches carry a weight for every sample. */
  readonly isWeighted?: boolean;
  /** The run's seed; keys everything random in the step. */
  readonly seed: number;
}

/** Which grain is computed: with the seed, the whole of what its random numbers depend on. */
export interface GrainKey {
  readonly step: number;
  readonly grain: number;
}

/** A gradient that is handed out piece by piece while the rest of it is computed. */
export interface GradientStages {
  /** Ranges of the flat buffer, whole parameters each, from its end to its start. */
  readonly buckets: readonly ElementRange[];
  /** The bucket's part of `out` is complete. Called for each bucket once, in their order, before `gradient` resolves. */
  onComplete(bucket: number): void;
}

export interface GradientOptions {
  /**
   * Names the weights' content (its hash, say). Weights of the same name as the last call's need not be read again; without a
   * name they are.
   */
  readonly weightsId?: string | undefined;
  /** The same bits, handed out earlier; an engine that cannot do so completes all buckets at the end. */
  readonly stages?: GradientStages | undefined;
}

/** What an engine does that computes a gradient in one piece. */
export function completeAll(stages: GradientStages | undefined): void {
  stages?.buckets.forEach((_, bucket) => {
    stages.onComplete(bucket);
  });
}

/** One model and loss, ready to run. Calls on one step must not overlap. */
export interface CompiledStep {
  /** Parameters in the order of `model.weights`, with tfjs's names. */
  readonly layout: Layout;

  /**
   * Gradient of the **sum** of the per-sample losses over one grain.
   *
   * @param weights flat, `layout.totalSize` elements; may lie in shared memory.
   * @param out flat like `weights`, overwritten; padding becomes zero. A statistic's place holds the value that the grain
   *   proposes, times the grain's samples, so that the sum over grains divided by all samples is the mean.
   * @returns sums over the grain's samples, with the tally of training steps.
   * @throws CoordError ENGINE_UNSUPPORTED, ENGINE_FAILED
   */
  gradient(
    weights: Float32Array,
    batch: Batch,
    key: GrainKey,
    out: Float32Array,
    options?: GradientOptions,
  ): Promise<MetricSums>;

  /** Loss, hits and the tally of evaluations in inference mode; nothing random takes part. */
  evaluate(weights: Float32Array, batch: Batch): Promise<MetricSums>;

  /** The model's outputs in inference mode, one flat array an output, the batch axis first. */
  predict(weights: Float32Array, inputs: Batch['inputs'], count: number): Promise<Float32Array[]>;

  dispose(): void;
}

export interface Engine {
  readonly name: string;
  /** What two workers must share for their grain gradients to have the same bits. */
  readonly identity: NumericIdentity;

  /** @throws CoordError MODEL_INVALID, ENGINE_UNSUPPORTED (names layer and kernel) */
  compile(spec: StepSpec): Promise<CompiledStep>;

  dispose(): void;
}
