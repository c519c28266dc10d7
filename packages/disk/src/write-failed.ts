/** What the file system refuses, as an error for people: which file, why, what to do. */
import { CoordError } from '@coord/protocol';

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;

const NO_ROOM: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);
const NOT_ALLOWED: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'EROFS']);

/** What to do about a write that failed, as sentences. */
export function writeHint(cause: unknown): string {
  const errno = errnoOf(cause);
  if (NO_ROOM.has(errno)) return 'Nothing that stood there is lost. Free space on that disk, then try again.';
  if (NOT_ALLOWED.has(errno))
    return 'Nothing that stood there is lost. See that this user may write there, then try again.';
  return 'Nothing that stood there is lost. See that the path and its disk are in order, then try again.';
}

export const writeFailed = (file: string, cause: unknown): CoordError =>
  new CoordError('CHECKPOINT_WRITE_FAILED', `${file} could not be written: ${errorText(cause)}`, {
    hint: writeHint(cause),
    facts: { file, errno: errnoOf(cause) },
    cause,
  });

/** Does what writes `file`. @throws CoordError CHECKPOINT_WRITE_FAILED */
export async function writing<T>(file: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    throw writeFailed(file, cause);
  }
}
