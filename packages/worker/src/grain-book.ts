/**
 * Which grains of the step in progress are already in somebody's sums, and who computes the rest. When a view changes in
 * mid-step, the survivors keep what they have; only the lost grains are computed again.
 */
import { assignByShare, CoordError, type Grain, type StepPlan } from '@coord/protocol';

/** How the step's gradients are quantised: with the predicted quanta, or, after an overflow, with the learnt ones. */
export type Attempt = 0 | 1;

/** One host's account of itself at the start of a view; hosts exchange these before they go on. */
export interface HostRecord {
  readonly step: number;
  /** Step after which this host last completed an evaluation, or -1. */
  readonly evaluatedStep: number;
  /** The run was stopped after `step`. */
  readonly stopped: boolean;
  readonly attempt: Attempt;
  /** Of what the last update came to; replicas at one step have the same. */
  readonly updateNumber: number;
  /** Replicas have differed just now, though their updates came to the same: what the memory holds must be compared. */
  readonly isDoubted: boolean;
  readonly held: ReadonlySet<number>;
}

export const NOTHING_HELD: ReadonlySet<number> = new Set();

/**
 * What each rank may keep. A pure function of the records, so all ranks agree: grains count only from hosts at the highest
 * step; nobody keeps any once somebody was at the second attempt (newcomers do not know its quanta); and a host whose grains
 * overlap with those of a lower rank starts afresh (its sums cannot be taken apart).
 */
export function settleHeldGrains(records: readonly HostRecord[]): ReadonlySet<number>[] {
  const step = Math.max(...records.map((record) => record.step));
  if (records.some((record) => record.step === step && record.attempt !== 0)) return records.map(() => NOTHING_HELD);
  const claimed = new Set<number>();
  return records.map((record) => {
    if (record.step !== step || [...record.held].some((grain) => claimed.has(grain))) return NOTHING_HELD;
    for (const grain of record.held) claimed.add(grain);
    return record.held;
  });
}

/** Grains still to be computed, a list a rank, in proportion to the shares. */
export function assignGrains(
  plan: StepPlan,
  shares: readonly number[],
  held: readonly ReadonlySet<number>[],
): Grain[][] {
  const done = new Set(held.flatMap((grains) => [...grains]));
  const missing = plan.grains.filter((grain) => !done.has(grain.index));
  return assignByShare(missing, shares, plan.step);
}

const HEADER_BYTES = 14;
const STOPPED = 1;
const DOUBTED = 2;

export const recordBytes = (grains: number): number => HEADER_BYTES + Math.ceil(grains / 8);

export function encodeRecord(record: HostRecord, grains: number): Uint8Array {
  const bytes = new Uint8Array(recordBytes(grains));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, record.step, true);
  view.setInt32(4, record.evaluatedStep, true);
  view.setUint8(8, record.attempt);
  view.setUint8(9, (record.stopped ? STOPPED : 0) | (record.isDoubted ? DOUBTED : 0));
  view.setUint32(10, record.updateNumber, true);
  for (const grain of record.held) bytes[HEADER_BYTES + (grain >> 3)] |= 1 << (grain & 7);
  return bytes;
}

/**
 * @param grains of the step.
 * @throws CoordError MESSAGE_INVALID when these are no bytes that `encodeRecord` makes: whoever sent them counts otherwise.
 */
export function decodeRecord(bytes: Uint8Array, grains: number): HostRecord {
  if (bytes.byteLength !== recordBytes(grains)) throw noRecord(`${bytes.byteLength} bytes long`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const held = new Set<number>();
  for (let grain = 0; grain < grains; grain++) {
    if (bytes[HEADER_BYTES + (grain >> 3)] & (1 << (grain & 7))) held.add(grain);
  }
  const record: HostRecord = {
    step: view.getUint32(0, true),
    evaluatedStep: view.getInt32(4, true),
    attempt: view.getUint8(8) === 0 ? 0 : 1,
    stopped: (view.getUint8(9) & STOPPED) !== 0,
    isDoubted: (view.getUint8(9) & DOUBTED) !== 0,
    updateNumber: view.getUint32(10, true),
    held,
  };
  if (record.evaluatedStep < -1) throw noRecord(`evaluated after step ${record.evaluatedStep}`);
  if (Buffer.compare(encodeRecord(record, grains), bytes) !== 0) throw noRecord('with bits that mean nothing');
  return record;
}

const noRecord = (what: string): CoordError =>
  new CoordError('MESSAGE_INVALID', `a member of the ring sent a record of what it holds that is ${what}`, {
    hint: 'Use one version of coord on all machines.',
  });
