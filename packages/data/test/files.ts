/** Real files in a directory of their own, and the errors that bad ones cause. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoordError } from '@coord/protocol';
import { afterEach } from 'vitest';

const made: string[] = [];

afterEach(async () => {
  await Promise.all(made.splice(0).map((directory) => rm(directory, { recursive: true, force: true })));
});

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-data-'));
  made.push(directory);
  return directory;
}

/** Writes files into a new directory. */
export async function directoryWith(files: Record<string, Uint8Array | string>): Promise<string> {
  const directory = await temporaryDirectory();
  await Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(directory, name), content)));
  return directory;
}

export const IDX = { uint8: 8, int8: 9, int16: 11, int32: 12, float32: 13, float64: 14 } as const;

export function idx(type: number, dimensions: readonly number[], elements: Uint8Array | readonly number[]): Uint8Array {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.set([0, 0, type, dimensions.length]);
  dimensions.forEach((size, axis) => {
    header.writeUInt32BE(size, 4 + 4 * axis);
  });
  return Buffer.concat([header, Uint8Array.from(elements)]);
}

/** Big-endian elements of one of the wider types. */
export function bigEndian(
  sizeBytes: number,
  values: readonly number[],
  set: (view: DataView, at: number, value: number) => void,
): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * sizeBytes));
  values.forEach((value, index) => {
    set(view, index * sizeBytes, value);
  });
  return new Uint8Array(view.buffer);
}

/** The CoordError that a promise rejects with; anything else fails the test. */
export async function coordErrorOf(promise: Promise<unknown>): Promise<CoordError> {
  const error = await promise.then(
    () => new Error('expected a rejection'),
    (reason: unknown) => reason,
  );
  if (error instanceof CoordError) return error;
  throw error;
}
