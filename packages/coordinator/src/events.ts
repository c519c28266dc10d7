/** What a coordinator tells whoever started it: the terminal's view, `--json`, tests. */
import type { Endpoint, ErrorCode, MetricValues, PhaseTimes } from '@coord/protocol';
import type { Recovery } from './recovery.js';

export type CoordinatorEvent =
  | { readonly event: 'listening'; readonly endpoint: Endpoint; readonly urls: readonly string[] }
  | {
      readonly event: 'worker-joined';
      readonly workerId: string;
      readonly name: string;
      readonly remote: string;
      /** Its id before it lost its coordinator; undefined for a newcomer. */
      readonly returns: string | undefined;
    }
  | { readonly event: 'worker-ready'; readonly workerId: string; readonly name: string; readonly engine: string }
  | {
      readonly event: 'worker-lost';
      readonly workerId: string;
      readonly name: string;
      /** True when it said goodbye. */
      readonly left: boolean;
      readonly reason: string;
    }
  /** Its weights were not those of the majority. */
  | {
      readonly event: 'worker-diverged';
      readonly workerId: string;
      readonly name: string;
      readonly step: number;
      readonly weightsSha256: string;
      readonly majoritySha256: string;
    }
  /** It has copied the majority's state. */
  | {
      readonly event: 'worker-repaired';
      readonly workerId: string;
      readonly name: string;
      readonly step: number;
      /** False: its weights had changed in memory; true: its update itself came out otherwise. */
      readonly isIntact: boolean;
      /** Parameters, optimizer slots or exponents that differed, and in how many elements. */
      readonly arrays: readonly { readonly name: string; readonly count: number }[];
    }
  /** The others wait for it, for several steps in a row. */
  | {
      readonly event: 'straggler';
      readonly workerId: string;
      readonly name: string;
      readonly step: number;
      /** Its time for a sample, as a multiple of the others'. */
      readonly factor: number;
      /** What its own samples of a step take longer than those of the others. */
      readonly extraMs: number;
    }
  /** It keeps up again, or its share of the grains has followed its speed. */
  | {
      readonly event: 'straggler-over';
      readonly workerId: string;
      readonly name: string;
      readonly step: number;
      readonly forMs: number;
      readonly forSteps: number;
    }
  | {
      readonly event: 'view';
      readonly generation: number;
      /** Hosts in ring order, by worker id. */
      readonly members: readonly string[];
      /** Compute threads of all of them. */
      readonly workers: number;
      readonly reason: string;
    }
  | ({ readonly event: 'recovered' } & Recovery)
  | { readonly event: 'waiting'; readonly present: number; readonly needed: number; readonly reason: string }
  | StepEvent
  | EvaluationEvent
  | { readonly event: 'checkpoint'; readonly step: number; readonly path: string; readonly weightsSha256: string }
  | { readonly event: 'stopping'; readonly reason: string }
  | { readonly event: 'warning'; readonly code: ErrorCode | 'UNEXPECTED'; readonly message: string }
  | ({ readonly event: 'finished' } & RunResult);

export interface StepEvent extends MetricValues {
  readonly event: 'step';
  /** Steps completed, this one included. */
  readonly step: number;
  readonly totalSteps: number;
  /** Epoch that the step belongs to, from 0. */
  readonly epoch: number;
  readonly weightsSha256: string;
  /** Of the whole cluster, smoothed. */
  readonly samplesPerSecond: number;
  readonly skipped: boolean;
  readonly requantised: boolean;
  /** By worker id. */
  readonly times: Readonly<Record<string, PhaseTimes>>;
  readonly ownSamples: Readonly<Record<string, number>>;
}

export interface EvaluationEvent extends MetricValues {
  readonly event: 'evaluation';
  readonly step: number;
  /** Epochs completed or begun by then: 1 after the first. */
  readonly epoch: number;
  readonly durationMs: number;
}

export interface RunResult {
  readonly step: number;
  /** Epochs completed, the one in progress not counted. */
  readonly epoch: number;
  readonly weightsSha256: string;
  readonly stopped: boolean;
  /** The last evaluation on the test split, if there was one. */
  readonly testMetrics: (MetricValues & { readonly step: number; readonly epoch: number }) | undefined;
  /** Samples trained on since this start. */
  readonly samples: number;
  /** From the first view to the end. */
  readonly seconds: number;
  /** Workers of the last view. */
  readonly workers: number;
  /** Undefined when there was nothing to save: stopped before the first step. */
  readonly checkpointPath: string | undefined;
}
