/**
 * Errors are for the person who reads them: what happened, to whom, why, and what to do next.
 *
 * Two families, by what the caller can do (after gloo's docs/errors.md):
 * - `recoverable`: this attempt is lost; drop it, form a new view, go on.
 * - `fatal`: a person must change something; the process ends with the code's exit status.
 */
export type ErrorFamily = 'recoverable' | 'fatal';

interface ErrorRule {
  readonly family: ErrorFamily;
  readonly exitCode: number;
}

/** Exit statuses of every `coord` command, documented in docs/exit-codes.md. */
export const EXIT_CODE = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  data: 3,
  checkpoint: 4,
  refused: 5,
  network: 6,
  training: 7,
  audit: 8,
  interrupted: 130,
} as const;

const recoverable: ErrorRule = { family: 'recoverable', exitCode: EXIT_CODE.unexpected };
const fatal = (exitCode: number): ErrorRule => ({ family: 'fatal', exitCode });

/** Every error code of the system. Codes are stable: scripts and docs/errors.md name them. */
export const ERROR_RULES = {
  CONFIG_NOT_FOUND: fatal(EXIT_CODE.usage),
  CONFIG_INVALID: fatal(EXIT_CODE.usage),
  USAGE: fatal(EXIT_CODE.usage),
  MODEL_UNKNOWN: fatal(EXIT_CODE.usage),
  MODEL_INVALID: fatal(EXIT_CODE.usage),
  OPTIMIZER_UNKNOWN: fatal(EXIT_CODE.usage),
  LOSS_UNKNOWN: fatal(EXIT_CODE.usage),
  LOSS_INVALID: fatal(EXIT_CODE.usage),
  ENGINE_UNAVAILABLE: fatal(EXIT_CODE.usage),
  ENGINE_UNSUPPORTED: fatal(EXIT_CODE.usage),
  ENGINE_FAILED: fatal(EXIT_CODE.unexpected),
  DATASET_INVALID: fatal(EXIT_CODE.data),
  BLOCK_CORRUPT: fatal(EXIT_CODE.data),
  BLOCK_UNAVAILABLE: recoverable,
  CHECKPOINT_NOT_FOUND: fatal(EXIT_CODE.checkpoint),
  CHECKPOINT_CORRUPT: fatal(EXIT_CODE.checkpoint),
  CHECKPOINT_MISMATCH: fatal(EXIT_CODE.checkpoint),
  CHECKPOINT_WRITE_FAILED: fatal(EXIT_CODE.checkpoint),
  LEDGER_CORRUPT: fatal(EXIT_CODE.checkpoint),
  TOKEN_WRONG: fatal(EXIT_CODE.refused),
  CERTIFICATE_WRONG: fatal(EXIT_CODE.refused),
  PROTOCOL_VERSION: fatal(EXIT_CODE.refused),
  JOIN_REFUSED: fatal(EXIT_CODE.refused),
  RUN_LOCKED: fatal(EXIT_CODE.refused),
  PORT_IN_USE: fatal(EXIT_CODE.network),
  UNREACHABLE: fatal(EXIT_CODE.network),
  NATS_DENIED: fatal(EXIT_CODE.network),
  COORDINATOR_LOST: fatal(EXIT_CODE.network),
  COORDINATOR_BUSY: fatal(EXIT_CODE.network),
  FRAME_INVALID: recoverable,
  FRAME_TOO_LARGE: recoverable,
  MESSAGE_INVALID: recoverable,
  MESSAGE_UNEXPECTED: recoverable,
  LINK_CLOSED: recoverable,
  LINK_TIMEOUT: recoverable,
  RING_BROKEN: recoverable,
  RING_TIMEOUT: recoverable,
  VIEW_CHANGED: recoverable,
  STATE_UNAVAILABLE: recoverable,
  GRADIENT_NOT_FINITE: fatal(EXIT_CODE.training),
  REPLICA_DIVERGED: fatal(EXIT_CODE.training),
  WORKERS_LOST: fatal(EXIT_CODE.training),
  AUDIT_FAILED: fatal(EXIT_CODE.audit),
  CHAOS_FAILED: fatal(EXIT_CODE.audit),
  INTERRUPTED: fatal(EXIT_CODE.interrupted),
} as const satisfies Record<string, ErrorRule>;

export type ErrorCode = keyof typeof ERROR_RULES;

/** What the error is about: worker, rank, step, phase, file, line, limit …; names carry units. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | undefined>>;

export interface CoordErrorOptions {
  /** What the reader can do about it, as one sentence. */
  readonly hint?: string;
  readonly facts?: ErrorFacts;
  readonly cause?: unknown;
}

export class CoordError extends Error {
  override readonly name = 'CoordError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, options: CoordErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.facts = options.facts ?? {};
  }

  get family(): ErrorFamily {
    return ERROR_RULES[this.code].family;
  }

  get exitCode(): number {
    return ERROR_RULES[this.code].exitCode;
  }
}

export function isCoordError(error: unknown, ...codes: ErrorCode[]): error is CoordError {
  return error instanceof CoordError && (codes.length === 0 || codes.includes(error.code));
}

export function isRecoverable(error: unknown): boolean {
  return error instanceof CoordError && error.family === 'recoverable';
}

/** The code that another process named, if this version has it: names of others are not to be looked up in objects. */
export const knownErrorCode = (code: string): ErrorCode | undefined =>
  Object.hasOwn(ERROR_RULES, code) ? (code as ErrorCode) : undefined;

/** Form of an error that may cross a thread or a wire. */
export interface ErrorRecord {
  readonly code: ErrorCode | 'UNEXPECTED';
  readonly message: string;
  readonly hint?: string | undefined;
  readonly facts?: ErrorFacts | undefined;
}

export function toErrorRecord(error: unknown): ErrorRecord {
  if (error instanceof CoordError) {
    return { code: error.code, message: error.message, hint: error.hint, facts: error.facts };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'UNEXPECTED', message: text };
}

export function fromErrorRecord(record: ErrorRecord): Error {
  if (record.code === 'UNEXPECTED') return new Error(record.message);
  return new CoordError(record.code, record.message, { hint: record.hint, facts: record.facts });
}
