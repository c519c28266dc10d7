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

/** Buffers of one compute thread; all of them lie in the host's arena. */
export interface ThreadBuffers {
  /** Shared by all threads of the host, like the slots and the quanta. */
  readonly weights: Float32Array;
  readonly slots: readonly (readonly [name: string, values: Float32Array])[];
  readonly quanta: Uint8Array;
  /** Gradient of the grain in work. */
  readonly gradient: Float32Array;
  /** Sum of the grains that this thread has computed in this step. */
  readonly sums: Int32Array;
  /** Largest exponent of those grains, a block each. */
  readonly exponents: Uint8Array;
  /** The sums of all threads of the host, this one's among them. */
  readonly allSums: readonly Int32Array[];
  /** Sum over all threads: this thread's own where there is only one. */
  readonly total: Int32Array;
  /** Mean gradient of the step, over all hosts; the optimizer reads it. */
  readonly mean: Float32Array;
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

export interface GrainRequest {
  readonly kind: 'grain';
  readonly step: number;
  readonly grain: number;
  /** Grains of the whole step: they share the range of int32. */
  readonly grains: number;
  /** Hash of the weights, so that a thread reads them once a step and not once a grain. */
  readonly weightsSha256: string;
  readonly batch: Batch;
  /** The first grain of a thread replaces its sums of the step before. */
  readonly mode: QuantiseMode;
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

export interface CombineRequest extends ElementRange {
  /** The range is what this thread sums over all threads. */
  readonly kind: 'combine';
  /** Of a host that is alone: its sum is the sum, and its mean over so many samples is wanted at once. */
  readonly divisor?: number;
}

export type ComputeRequest =
  | CompileRequest
  | AttachRequest
  | GrainRequest
  | CombineRequest
  | ApplyRequest
  | EvaluateRequest;

export interface ComputeResponses {
  compile: { readonly identity: NumericIdentity; readonly parameters: readonly ParameterSpec[] };
  attach: Record<string, never>;
  grain: { readonly metrics: MetricSums; readonly overflow: boolean; readonly nonFinite: boolean };
  combine: Record<string, never>;
  apply: { readonly weightsSha256: string };
  evaluate: { readonly metrics: MetricSums };
}

export type ResponseTo<R extends ComputeRequest> = ComputeResponses[R['kind']];
