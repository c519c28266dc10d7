/** What an audit can find. Every kind has one sentence of its own, and says where to look. */
export const FINDING_KINDS = [
  /** The ledger is of another configuration than the one in the run directory. */
  'configuration',
  'step-missing',
  'step-doubled',
  /** A step that does not consume the samples which the order gives it. */
  'samples',
  /** A sample that an epoch consumes twice, or not at all. */
  'epoch',
  /** Generations of views that do not grow, or a step of a view that was not in force. */
  'generation',
  /** Two records of the same weights that disagree. */
  'hash',
  'checkpoint',
  /** A step that was executed again and came to other weights. */
  'execution',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

export interface Finding {
  readonly kind: FindingKind;
  /** Line of the ledger, from 1; undefined where it is about something else. */
  readonly line: number | undefined;
  readonly message: string;
}

export const finding = (kind: FindingKind, line: number | undefined, message: string): Finding => ({
  kind,
  line,
  message,
});
