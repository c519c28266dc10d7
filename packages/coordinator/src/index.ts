export { TokenBook, type TokenWish } from './access/token-book.js';
export { openTokenBook } from './access/token-file.js';
export {
  TOKEN_ROLES,
  type TokenRecord,
  type TokenRole,
  type TokenState,
  type TokenSummary,
} from './access/token-record.js';
export type { CoordinatorEvent, EvaluationEvent, RunResult, StepEvent } from './events.js';
export { openLedger, readDamagedLedger, readLedger } from './ledger.js';
export type { LedgerEntry, LedgerEntryOf, LedgerRecord } from './ledger-entries.js';
export { type Coordinator, type CoordinatorOptions, DEFAULT_TIMINGS, type Timings } from './options.js';
export type { FormerWorker } from './past.js';
export { lockRun, type RunLock, requireFree } from './run-lock.js';
export { LEDGER_FILE, startCoordinator } from './start.js';
export type { ClusterStatus, WorkerStatus } from './status.js';
