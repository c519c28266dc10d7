/** Reads a worker's flight record. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, readTextLimited } from '@coord/disk';
import {
  CoordError,
  type FlightEvent,
  type FlightHeader,
  flightEventSchema,
  flightHeaderSchema,
} from '@coord/protocol';
import type { z } from 'zod';

export interface FlightRecord {
  readonly header: FlightHeader;
  readonly events: readonly FlightEvent[];
}

/** A full record of a wide cluster is a few MiB long. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** The flight records that local workers have left in a directory. */
export async function findFlightFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names
    .filter((name) => /^flight-.*\.jsonl$/.test(name))
    .sort()
    .map((name) => join(directory, name));
}

/** @throws CoordError USAGE when it cannot be read, is longer than any flight record, or is none. */
export async function readFlightFile(file: string): Promise<FlightRecord> {
  const text = await readTextLimited(file, MAX_FILE_BYTES).catch((cause: unknown) => {
    throw notFlight(file, errorText(cause), cause);
  });
  return parseFlightRecord(file, text);
}

/** @throws CoordError USAGE naming the first wrong line. */
export function parseFlightRecord(file: string, text: string): FlightRecord {
  const [first, ...rest] = text.trimEnd().split('\n');
  const header = parseLine(flightHeaderSchema, file, first, 1);
  return { header, events: rest.map((line, index) => parseLine(flightEventSchema, file, line, index + 2)) };
}

function parseLine<S extends z.ZodType>(schema: S, file: string, line: string, number: number): z.infer<S> {
  try {
    return schema.parse(JSON.parse(line));
  } catch (cause) {
    throw notFlight(file, `line ${number} is none of its lines`, cause);
  }
}

const notFlight = (file: string, why: string, cause: unknown): CoordError =>
  new CoordError('USAGE', `${file} is no flight record: ${why}`, {
    hint: 'Give a flight-….jsonl that `coord worker --log-dir DIR` has written.',
    facts: { file },
    cause,
  });
