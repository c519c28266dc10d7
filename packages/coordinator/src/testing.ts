/** What a simulation needs to put a coordinator into other surroundings. */
export { TokenBook } from './access/token-book.js';
export { Chronicle } from './chronicle.js';
export { Conductor } from './conductor.js';
export { createDoor } from './door.js';
export type { Ledger } from './ledger.js';
export { readPast } from './past.js';
