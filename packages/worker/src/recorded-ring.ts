/** A ring that tells what it is doing: begin and end of every operation go to the flight recorder and to the heartbeats. */
import type { RingActivity, RingOperation, View } from '@coord/protocol';
import type { Ring } from '@coord/ring';
import type { FlightRecorder } from './flight-recorder.js';

export interface RecordedRing extends Ring {
  /** Undefined before the first operation. */
  readonly activity: RingActivity | undefined;
}

export function recordRing(ring: Ring, recorder: FlightRecorder, view: View): RecordedRing {
  const { generation } = view;
  let activity: Omit<RingActivity, 'waitsFor'> | undefined;
  let next = 0;
  let last: Promise<unknown> = Promise.resolve();
  const run = async <T>(operation: RingOperation, sizeBytes: number, work: () => Promise<T>): Promise<T> => {
    const sequence = next++;
    const waitedBeforeMs = ring.waitedMs;
    const waited = () => ({ waitedMs: ring.waitedMs - waitedBeforeMs });
    const note = (edge: 'begin' | 'end' | 'failed') =>
      recorder.record({
        kind: 'ring',
        edge,
        operation,
        sequence,
        generation,
        sizeBytes,
        ...(edge !== 'begin' && waited()),
      });
    activity = { operation, sequence, isDone: false };
    note('begin');
    try {
      const result = await work();
      note('end');
      activity = { operation, sequence, isDone: true };
      return result;
    } catch (error) {
      note('failed');
      throw error;
    }
  };
  /** Operations wait for the ones before them here, so that each is told to begin when it does. */
  const watch = <T>(operation: RingOperation, sizeBytes: number, work: () => Promise<T>): Promise<T> => {
    const done = last.then(() => run(operation, sizeBytes, work));
    last = done.catch(() => {});
    return done;
  };
  return {
    rank: ring.rank,
    size: ring.size,
    get waitsFor() {
      return ring.waitsFor;
    },
    get waitedMs() {
      return ring.waitedMs;
    },
    get activity() {
      if (!activity) return undefined;
      // Asked when a heartbeat leaves: of whom an operation hears changes on its way.
      const waitsFor = ring.waitsFor === undefined ? undefined : view.members[ring.waitsFor].workerId;
      return { ...activity, waitsFor };
    },
    allReduce: (reduction) => watch('sum', reduction.totalBytes, () => ring.allReduce(reduction)),
    allReduceSum: (values, ...rest) => watch('sum', values.byteLength, () => ring.allReduceSum(values, ...rest)),
    allReduceMax: (values, ...rest) => watch('max', values.byteLength, () => ring.allReduceMax(values, ...rest)),
    allGather: (mine) => watch('gather', mine.byteLength * ring.size, () => ring.allGather(mine)),
    close: () => ring.close(),
  };
}
