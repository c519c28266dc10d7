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
  // What a rank waits for comes from the rank before it.
  const before = view.members[(ring.rank + ring.size - 1) % ring.size].workerId;
  const waitsFor = ring.size > 1 ? before : undefined;
  let activity: RingActivity | undefined;
  let next = 0;
  let last: Promise<unknown> = Promise.resolve();
  const run = async <T>(operation: RingOperation, sizeBytes: number, work: () => Promise<T>): Promise<T> => {
    const sequence = next++;
    const note = (edge: 'begin' | 'end' | 'failed') =>
      recorder.record({ kind: 'ring', edge, operation, sequence, generation, sizeBytes });
    activity = { operation, sequence, isDone: false, waitsFor };
    note('begin');
    try {
      const result = await work();
      note('end');
      activity = { operation, sequence, isDone: true, waitsFor };
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
    get activity() {
      return activity;
    },
    allReduce: (reduction) => watch('sum', reduction.totalBytes, () => ring.allReduce(reduction)),
    allReduceSum: (values, ...rest) => watch('sum', values.byteLength, () => ring.allReduceSum(values, ...rest)),
    allReduceMax: (values, ...rest) => watch('max', values.byteLength, () => ring.allReduceMax(values, ...rest)),
    allGather: (mine) => watch('gather', mine.byteLength * ring.size, () => ring.allGather(mine)),
    close: () => ring.close(),
  };
}
