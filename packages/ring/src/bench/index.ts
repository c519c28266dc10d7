export { type AllReduceBenchOptions, type AllReduceRow, benchAllReduce, type PeerResult } from './all-reduce.js';
