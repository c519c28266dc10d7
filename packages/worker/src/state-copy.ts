/** Copies a training state from several hosts at once, a part from each, and verifies the whole. */
import {
  type Clock,
  CoordError,
  decodeMessage,
  encodeMessage,
  hashWeightsGradually,
  type StateReply,
  type StateReplyOf,
  stateReplySchema,
  stateSections,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import { checkNumberOf, type HostState, type Spare } from './host-state.js';

/** A host that serves its state. */
export interface StateSource {
  /** How errors call it. */
  readonly label: string;
  /** A link over which both ends have proved who they are. */
  open(): Promise<Link>;
}

/** How long a source may be silent. */
export interface SourcePatience {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Parts begin on multiples of this, so that none splits a number. */
const PART_UNIT_BYTES = 64;

/**
 * Replaces the state by the one that all sources hold after `step`. It is received aside and verified first: a copy that breaks off
 * leaves the state as it was, which takes the memory of another state meanwhile.
 *
 * @param patience the source may be silent no longer than this, also while the step is still to come.
 * @returns undefined, or the step of a source that has gone on already.
 * @throws CoordError STATE_UNAVAILABLE (lost source, wrong size, wrong hash), LINK_CLOSED, MESSAGE_INVALID.
 */
export async function copyState(
  sources: readonly StateSource[],
  state: HostState,
  step: number,
  patience?: SourcePatience,
): Promise<number | undefined> {
  const spare = state.createSpare();
  const { replica: received } = spare;
  const parts = partsOf(stateSections({ ...received, step }), sources.length);
  const answers = await allOrFirstError(parts.map((part, index) => copyPart(sources[index], part, step, patience)));
  const refused = answers.flatMap((answer) => (answer.type === 'refused' ? answer.step : []));
  if (refused.length > 0) return Math.max(...refused);
  const weightsSha256 = await requireWhole(spare, answers as StateReplyOf<'copy-begin'>[], sources);
  await state.mutate(async () => state.replace({ ...received, step }, weightsSha256));
  return undefined;
}

interface Part {
  readonly start: number;
  readonly end: number;
  /** Where the bytes go: pieces of the state's sections, in order. */
  readonly targets: readonly Uint8Array[];
}

function partsOf(sections: readonly Uint8Array[], count: number): Part[] {
  const sizeBytes = sections.reduce((sum, section) => sum + section.byteLength, 0);
  const edge = (index: number) =>
    index === count ? sizeBytes : Math.floor((sizeBytes * index) / count / PART_UNIT_BYTES) * PART_UNIT_BYTES;
  return Array.from({ length: count }, (_, index) => {
    const [start, end] = [edge(index), edge(index + 1)];
    return { start, end, targets: within(sections, start, end) };
  });
}

function within(sections: readonly Uint8Array[], start: number, end: number): Uint8Array[] {
  let offset = 0;
  return sections.map((section) => {
    const part = section.subarray(Math.max(0, start - offset), Math.max(0, end - offset));
    offset += section.byteLength;
    return part;
  });
}

async function copyPart(
  source: StateSource,
  { start, end, targets }: Part,
  step: number,
  patience: SourcePatience | undefined,
): Promise<StateReplyOf<'copy-begin'> | StateReplyOf<'refused'>> {
  const link = await source.open();
  try {
    await link.send(encodeMessage({ type: 'copy', step, start, end }));
    const begin = await receiveReply(link, source.label, patience);
    if (begin.type === 'refused') return begin;
    if (begin.type !== 'copy-begin' || begin.step !== step) throw bad(source.label, 'does not begin as it should');
    await receivePieces(link, source.label, targets, patience);
    return begin;
  } finally {
    void link.close('done');
  }
}

/** @throws CoordError LINK_CLOSED, also when the patience ends; MESSAGE_INVALID. */
export async function receiveReply(link: Link, from: string, patience?: SourcePatience): Promise<StateReply> {
  const giveUp = () => void link.close(`nothing came from ${from} for ${patience?.timeoutMs} ms`);
  const cancel = patience?.clock.after(patience.timeoutMs, giveUp);
  try {
    return decodeMessage(stateReplySchema, await link.receive(), { from });
  } finally {
    cancel?.();
  }
}

/** Fills the targets, one after the other, and expects the end then. */
export async function receivePieces(
  link: Link,
  from: string,
  targets: readonly Uint8Array[],
  patience?: SourcePatience,
): Promise<void> {
  const open = targets.filter((target) => target.byteLength > 0);
  let at = 0;
  for (;;) {
    const message = await receiveReply(link, from, patience);
    if (message.type === 'end') break;
    const target = open[0];
    if (message.type !== 'piece' || !target || at + message.data.byteLength > target.byteLength) {
      throw bad(from, 'has bytes that belong nowhere');
    }
    target.set(message.data, at);
    at += message.data.byteLength;
    if (at < target.byteLength) continue;
    open.shift();
    at = 0;
  }
  if (open.length > 0) throw bad(from, 'ended too early');
}

/** @returns the hash of its weights. @throws CoordError STATE_UNAVAILABLE where the parts are not of one state, or not what was announced. */
async function requireWhole(
  { replica, checksum }: Spare,
  begins: readonly StateReplyOf<'copy-begin'>[],
  sources: readonly StateSource[],
): Promise<string> {
  const [{ weightsSha256, checkNumber }] = begins;
  const odd = begins.findIndex((begin) => begin.checkNumber !== checkNumber || begin.weightsSha256 !== weightsSha256);
  if (odd >= 0) throw bad(sources[odd].label, `is not that of ${sources[0].label}`);
  const isWhole =
    (await hashWeightsGradually(replica.layout, replica.weights)) === weightsSha256 &&
    checkNumberOf(replica, weightsSha256, checksum) === checkNumber;
  if (!isWhole)
    throw bad(sources.map(({ label }) => label).join(', '), 'does not have the hash that it was announced with');
  return weightsSha256;
}

/** Waits for all, so that no link is still in use when this rejects. */
async function allOrFirstError<T>(all: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(all);
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

const bad = (from: string, what: string): CoordError =>
  new CoordError('STATE_UNAVAILABLE', `the training state from ${from} ${what}`, { facts: { from } });
