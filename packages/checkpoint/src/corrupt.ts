import { CoordError } from '@coord/protocol';

/** `problem` completes the sentence "FILE is corrupt: …" and names the place. */
export function corrupt(file: string, problem: string, cause?: unknown): CoordError {
  return new CoordError('CHECKPOINT_CORRUPT', `${file} is corrupt: ${problem}`, { facts: { file }, cause });
}
