import { CoordError } from '@coord/protocol';

/** Where in a user's data something is wrong. */
export interface DataPlace {
  readonly file: string;
  readonly offsetBytes?: number;
  /** From 1, like editors count. */
  readonly line?: number;
  readonly column?: string;
}

export interface InvalidDataOptions {
  readonly hint?: string;
  readonly cause?: unknown;
}

function placeText({ file, offsetBytes, line, column }: DataPlace): string {
  const parts = [file];
  if (offsetBytes !== undefined) parts.push(`byte ${offsetBytes}`);
  if (line !== undefined) parts.push(`line ${line}`);
  if (column !== undefined) parts.push(`column "${column}"`);
  return parts.join(', ');
}

/** DATASET_INVALID that names file and byte offset or line and column; `problem` says what was expected and what is there. */
export function invalidData(place: DataPlace, problem: string, options: InvalidDataOptions = {}): CoordError {
  const facts = { file: place.file, offsetBytes: place.offsetBytes, line: place.line, column: place.column };
  return new CoordError('DATASET_INVALID', `${placeText(place)}: ${problem}`, { ...options, facts });
}
