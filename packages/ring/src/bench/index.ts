export { type AllReduceBenchOptions, type AllReduceRow, benchAllReduce, type PeerResult } from './all-reduce.js';
export type { ScheduleChoice } from './rank-service.js';
export { joinBench } from './remote-join.js';
export { MOST_RANKS } from './remote-messages.js';
