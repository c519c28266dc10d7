/** What the host's network thread asks of a compute thread, and what comes back. */
import type { StepSpec } from '@coord/engine';
import type {
  Batch,
  ElementRange,
  EngineName,
  MetricSums,
  NumericIdentity,
  OptimizerSpec,
  ParameterSpec,
  PhiloxKey,
  RegularizationSpec,
  WireFormat,
} from '@coord/protocol';
import type { QuantiseMode } from '@coord/ring';

/** What a compute thread makes of its grains. */
export interface GrainBuffers {
  /** Gradient of the grain in work. */
  readonly gradient: Float32Array;
  /** Sum of the grains that this thread has computed in this step. */
  readonly sums: Int32Array;
  /** Largest exponent of those grains, a block each. */
  readonly exponents: Uint8Array;
}

/** What one compute thread works on; all of it lies in the host's arena. */
export interface ThreadBuffers {
  /** Which of `grains` are its own. */
  readonly thread: number;
  /** Of all threads of the host, in their order. */
  readonly grains: readonly GrainBuffers[];
  /** Shared by all threads of the host, like the slots and the quanta. */
  readonly weights: Float32Array;
  readonly slots: readonly (readonly [name: string, values: Float32Array])[];
  readonly quanta: Uint8Array;
  /** Sum over all threads: this thread's own where there is only one. */
  readonly total: Int32Array;
  /** Mean gradient of the step, over all hosts; the optimizer reads it. It takes the place of the first thread's gradient. */
  readonly mean: Float32Array;
  /** Where this thread adds up a piece: it never leaves its cache. */
  readonly room: Int32Array;
}

export interface CompileRequest {
  readonly kind: 'compile';
  readonly engine: { readonly name: EngineName; readonly threads: number; readonly sharesProcess: boolean };
  readonly step: StepSpec;
}

export interface AttachRequest {
  readonly kind: 'attach';
  readonly memory: WebAssembly.Memory;
  readonly buffers: ThreadBuffers;
  readonly buckets: readonly ElementRange[];
  readonly wire: WireFormat;
  /** Where the wire format is rounded at random. */
  readonly roundingKey: PhiloxKey;
  readonly optimizer: OptimizerSpec;
  readonly regularization: RegularizationSpec;
}

/** What decides how a gradient is quantised, beside the quanta. */
export interface GrainInStep {
  readonly step: number;
  readonly grain: number;
  /** Grains of the whole step: they share the range of int32. */
  readonly grains: number;
}

/** A grain whose gradient is in no sum yet. */
export interface FloatGrain extends GrainInStep {
  /** It lies in this thread's buffer. */
  readonly thread: number;
}

/** What is told of the values of a grain once they are integers. */
export interface GrainFlags {
  /** A finite value did not fit. */
  readonly overflow: boolean;
  readonly nonFinite: boolean;
}

export interface GrainRequest extends GrainInStep {
  readonly kind: 'grain';
  /** Hash of the weights, so that a thread reads them once a step and not once a grain. */
  readonly weightsSha256: string;
  readonly batch: Batch;
  /** The first grain of a thread replaces its sums of the step before; `leave` leaves floats for `average` or `settle`. */
  readonly mode: QuantiseMode | 'leave';
  /** Compute it in stages, and tell of each bucket when it has been added to the sums. */
  readonly inStages: boolean;
}

/** Sent before the answer of a grain that is computed in stages. */
export interface GrainProgress {
  readonly bucket: number;
}
export type OnProgress = (progress: GrainProgress) => void;

export interface ApplyRequest {
  readonly kind: 'apply';
  /** Optimizer updates completed before this one. */
  readonly step: number;
  readonly learningRate: number;
}

export interface EvaluateRequest {
  readonly kind: 'evaluate';
  readonly batch: Batch;
}

/** Adds this thread's gradient, which is floats still, to its sums. */
export interface SettleRequest {
  readonly kind: 'settle';
  readonly grain: FloatGrain;
  readonly mode: QuantiseMode;
}

/** The range is what this thread sums over all threads. */
export interface CombineRequest extends ElementRange {
  readonly kind: 'combine';
  /** Threads whose sums are of this step. */
  readonly threads: readonly number[];
}

/** Of a host that is alone: its sum is the sum, and the mean is wanted at once. */
export interface AverageRequest extends ElementRange {
  readonly kind: 'average';
  readonly threads: readonly number[];
  readonly floats: readonly FloatGrain[];
  /** Samples of the step. */
  readonly divisor: number;
}

export type ComputeRequest =
  | CompileRequest
  | AttachRequest
  | GrainRequest
  | SettleRequest
  | CombineRequest
  | AverageRequest
  | ApplyRequest
  | EvaluateRequest;

export interface ComputeResponses {
  compile: { readonly identity: NumericIdentity; readonly parameters: readonly ParameterSpec[] };
  attach: Record<string, never>;
  grain: GrainFlags & { readonly metrics: MetricSums };
  settle: GrainFlags;
  combine: Record<string, never>;
  /** Of the range alone, in the order of the floats. */
  average: { readonly flags: readonly GrainFlags[] };
  apply: { readonly weightsSha256: string };
  evaluate: { readonly metrics: MetricSums };
}

export type ResponseTo<R extends ComputeRequest> = ComputeResponses[R['kind']];
