/** What `coord doctor` finds; with `--json` it is printed as it stands. Bytes, milliseconds and samples are in the names. */
import type { ConcreteEngine, EngineSpeed } from '@coord/engine';
import type { NumericIdentity } from '@coord/protocol';

export interface HardwareReport {
  /** Operating system, its release, processor architecture. */
  readonly system: string;
  readonly node: string;
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  /** Processes that wanted a core in the last minute, on average; 0 where the system does not say. */
  readonly load: number;
  readonly instructionSets: readonly string[];
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  readonly gpus: readonly string[];
}

interface Tried {
  readonly engine: ConcreteEngine;
  readonly computesOn: string;
}

export interface WorkingEngine extends Tried {
  readonly works: true;
  readonly identity: NumericIdentity;
  /** Largest difference from the reference's gradient, relative to its largest value. */
  readonly gradientError: number;
  /** Only with `--bench`. */
  readonly speed?: EngineSpeed;
}

export interface MissingEngine extends Tried {
  readonly works: false;
  readonly reason: string;
  readonly howToGet: string;
}

export type EngineReport = WorkingEngine | MissingEngine;

export interface LoopbackReport {
  readonly bytesPerSecond: number;
}

export type CoordinatorReport =
  | { readonly url: string; readonly reachable: false; readonly reason: string }
  | {
      readonly url: string;
      readonly reachable: true;
      readonly roundTripMs: number;
      /** The coordinator's clock minus this one; null where it does not tell its time. */
      readonly clockSkewMs: number | null;
    };

export interface ClockReport {
  /** Whether the monotonic clock never went back. */
  readonly isMonotonic: boolean;
  readonly resolutionMs: number;
  /** How far the wall clock was set or slewed while the doctor was at work. */
  readonly wallClockJumpMs: number;
}

export interface StorageReport {
  readonly cacheDirectory: string;
  readonly isWritable: boolean;
  readonly reason?: string;
  readonly freeBytes: number | null;
}

export interface Advice {
  /** For `coord start --workers`. */
  readonly workers: number;
  /** For `engine.threads`. */
  readonly threads: number;
  readonly sentences: readonly string[];
}

export interface DoctorReport {
  readonly hardware: HardwareReport;
  /** What `engine: auto` takes here; null where no engine works. */
  readonly auto: ConcreteEngine | null;
  readonly engines: readonly EngineReport[];
  readonly advice: Advice;
  readonly loopback: LoopbackReport;
  /** Null unless an address was given. */
  readonly coordinator: CoordinatorReport | null;
  readonly clock: ClockReport;
  readonly storage: StorageReport;
}
