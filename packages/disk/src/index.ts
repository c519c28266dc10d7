export {
  type FileFacts,
  makeDirectory,
  PIECE_BYTES,
  replaceDurably,
  syncDirectory,
  writeDurably,
} from './durable.js';
export { isRunning } from './is-running.js';
export { asideOf, sweepLeftovers } from './leftovers.js';
export { readLimited, readTextLimited } from './read-limited.js';
export { replaceFile } from './replace-file.js';
export { errnoOf, errorText, writeFailed, writeHint, writing } from './write-failed.js';
