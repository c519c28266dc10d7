export type { CoordinatorEvent, EvaluationEvent, RunResult, StepEvent } from './events.js';
export { readLedger } from './ledger.js';
export type { LedgerEntry, LedgerEntryOf, LedgerRecord } from './ledger-entries.js';
export { type Coordinator, type CoordinatorOptions, DEFAULT_TIMINGS, type Timings } from './options.js';
export type { FormerWorker } from './past.js';
export { LEDGER_FILE, startCoordinator } from './start.js';
export type { ClusterStatus, WorkerStatus } from './status.js';
