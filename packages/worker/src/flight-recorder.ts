/** Flight recorder: the worker's last events in a ring buffer, and the way to a file when somebody must know what happened. */
import { join } from 'node:path';
import { replaceFile } from '@coord/disk';
import type { FlightEvent, FlightHeader } from '@coord/protocol';

/** About nine events a step, and two a bucket where steps overlap: the last hundreds of steps. */
const CAPACITY = 8192;

type WithoutTime<T> = T extends FlightEvent ? Omit<T, 'atMs'> : never;

export class FlightRecorder {
  readonly #events: FlightEvent[] = [];
  #recorded = 0;

  constructor(
    private readonly nowMs: () => number = () => performance.now(),
    private readonly capacity: number = CAPACITY,
  ) {}

  /** Costs a clock reading and an object. */
  record(event: WithoutTime<FlightEvent>): void {
    this.#events[this.#recorded++ % this.capacity] = { ...event, atMs: this.nowMs() } as FlightEvent;
  }

  /** Events that newer ones have overwritten. */
  get dropped(): number {
    return Math.max(0, this.#recorded - this.capacity);
  }

  /** Oldest first. */
  events(): FlightEvent[] {
    const oldest = this.#recorded % this.capacity;
    return this.dropped === 0 ? [...this.#events] : [...this.#events.slice(oldest), ...this.#events.slice(0, oldest)];
  }
}

/** `flight-w3.jsonl`: one file a worker of a run, and more where something must not be overwritten. */
export const flightFile = (directory: string, workerId: string, title = 'flight'): string =>
  join(directory, `${title}-${plain(workerId)}.jsonl`);

/** The coordinator gives the id: it shall not choose a directory with it. */
const plain = (workerId: string): string => workerId.replace(/[^\w-]/g, '_');

export const formatFlightRecord = (header: FlightHeader, events: readonly FlightEvent[]): string =>
  `${[header, ...events].map((line) => JSON.stringify(line)).join('\n')}\n`;

/** @throws CoordError CHECKPOINT_WRITE_FAILED */
export const writeFlightRecord = (file: string, text: string): Promise<void> => replaceFile(file, text);
