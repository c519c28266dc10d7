/**
 * The ring schedule. Pure: it knows ranks and byte ranges, and moves nothing.
 *
 * Vocabulary
 * - *rank* r of *size* N: its place in the ring. It sends to r + 1 and receives from r − 1 (modulo N).
 * - *chunk*: the buffer's part per rank; chunk c is bytes [start, end) of the buffer.
 * - *segment*: a piece of a chunk in flight, at most `segmentBytes` long.
 * - *step* t: every rank sends one chunk and receives one. In step t rank r sends chunk r − t and receives chunk r − t − 1,
 *   so what is received in step t is what is sent in step t + 1, segment by segment: nothing waits for a whole chunk.
 * - *wave*: what may be on its way at a time, a segment of every step: segment k of step t is sent in wave k + t. So a
 *   segment goes around the whole ring, is complete and out of the way, while few others are under way: all that is being
 *   worked on stays in the cache, and little room is needed for it, however long the buffer.
 * - *phase*: in the first N − 1 steps, the *reduce-scatter*, what is received is combined with the own chunk; after them
 *   rank r holds the complete chunk r + 1. In the last N − 1 steps, the *all-gather*, complete chunks are stored.
 *
 * Cost: 2 (N − 1) steps, each of 1/N of the buffer, so each rank sends and receives 2 (N − 1)/N of its size, whatever N is.
 *
 * Source: P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 2009.
 */
export type RingPhase = 'reduce-scatter' | 'all-gather' | 'doubling';

/** Who sends which part when. */
interface Plan {
  readonly rank: number;
  readonly size: number;
  /** First byte of each chunk, and the buffer's length as the last entry. */
  readonly chunkStarts: readonly number[];
  readonly segmentBytes: number;
  /** Steps in which what is received is combined. */
  readonly reduceSteps: number;
  readonly steps: number;
}

export interface Schedule extends Plan {
  /** All segments that are sent, in order. */
  readonly sends: readonly Segment[];
  /** All segments that are received, in the order in which they come. */
  readonly receives: readonly Segment[];
}

export interface Segment {
  readonly step: number;
  /** Number inside its chunk. */
  readonly index: number;
  /** Bytes [start, end) of the buffer. */
  readonly start: number;
  readonly end: number;
}

export interface RingPlace {
  readonly rank: number;
  readonly size: number;
}

/**
 * All-reduce of `totalBytes`. Chunks and segments consist of whole units of `unitBytes` (the last unit may be cut short), and
 * chunks differ by at most one unit; some may be empty.
 */
export function allReduceSchedule(
  { rank, size }: RingPlace,
  totalBytes: number,
  unitBytes: number,
  segmentBytes: number,
): Schedule {
  const units = Math.ceil(totalBytes / unitBytes);
  const chunkStarts = Array.from({ length: size + 1 }, (_, chunk) =>
    Math.min(Math.floor((units * chunk) / size) * unitBytes, totalBytes),
  );
  const wholeUnits = Math.max(unitBytes, segmentBytes - (segmentBytes % unitBytes));
  return complete({ rank, size, chunkStarts, segmentBytes: wholeUnits, reduceSteps: size - 1, steps: 2 * (size - 1) });
}

/** All-gather: chunk r is what rank r brings, all of `chunkBytes`. */
export function allGatherSchedule({ rank, size }: RingPlace, chunkBytes: number, segmentBytes: number): Schedule {
  const starts = Array.from({ length: size + 1 }, (_, chunk) => chunk * chunkBytes);
  return complete({ rank, size, chunkStarts: starts, segmentBytes, reduceSteps: 0, steps: size - 1 });
}

const complete = (plan: Plan): Schedule => ({
  ...plan,
  sends: [...segmentsSent(plan)],
  receives: [...segmentsReceived(plan)],
});

export const phaseOf = (schedule: Schedule, step: number): RingPhase =>
  step < schedule.reduceSteps ? 'reduce-scatter' : 'all-gather';

const chunkSent = ({ rank, size }: Plan, step: number): number => (((rank - step) % size) + size) % size;

/**
 * Segments that a rank must have room for beyond those it sends of its own: those between their arrival and their leaving.
 * Proof that nothing then waits for ever: of the ranks whose next send is the earliest in the order of all sends, say i, none
 * holds a segment whose own send comes before i; all that it holds arrived less than `steps` + 2 sends before, so there is a
 * place for what send i waits for; and its next neighbour, which is not behind it, has by the same count a place for send i.
 */
export const slotsNeeded = (size: number): number => 2 * (size - 1) + 2;

/** Step and segment number of all sends, in order; the same for every rank, which leaves out the segments that it has not. */
function* sendOrder({ chunkStarts, segmentBytes, steps }: Plan): Generator<{ step: number; index: number }> {
  const longest = chunkStarts.slice(1).reduce((most, end, chunk) => Math.max(most, end - chunkStarts[chunk]), 0);
  const segments = Math.ceil(longest / segmentBytes);
  for (let wave = 0; wave < segments + steps - 1; wave++) {
    const first = Math.max(0, wave - segments + 1);
    for (let step = first; step <= Math.min(wave, steps - 1); step++) yield { step, index: wave - step };
  }
}

function segmentOf(schedule: Plan, chunk: number, step: number, index: number): Segment | undefined {
  const { chunkStarts, segmentBytes } = schedule;
  const start = chunkStarts[chunk] + index * segmentBytes;
  const chunkEnd = chunkStarts[chunk + 1];
  return start < chunkEnd ? { step, index, start, end: Math.min(start + segmentBytes, chunkEnd) } : undefined;
}

function* segmentsSent(schedule: Plan): Generator<Segment> {
  for (const { step, index } of sendOrder(schedule)) {
    const segment = segmentOf(schedule, chunkSent(schedule, step), step, index);
    if (segment) yield segment;
  }
}

function* segmentsReceived(schedule: Plan): Generator<Segment> {
  for (const { step, index } of sendOrder(schedule)) {
    // What comes in step t is what is sent on in step t + 1.
    const segment = segmentOf(schedule, chunkSent(schedule, step + 1), step, index);
    if (segment) yield segment;
  }
}
