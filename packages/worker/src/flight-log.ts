/** The flight recorder of a host, and the file that it is written to. */
import { hostname } from 'node:os';
import type { Clock } from '@coord/protocol';
import type { ClockOffsetEstimate } from './clock-offset.js';
import type { CoordinatorConnection } from './coordinator-connection.js';
import { FlightRecorder, flightFile, formatFlightRecord, writeFlightRecord } from './flight-recorder.js';
import type { WorkerOptions } from './worker-options.js';

export interface FlightLog {
  readonly recorder: FlightRecorder;
  /** Writes the record where the worker has a directory for it. A full disk is no reason to stop. */
  write(title?: string): Promise<void>;
}

export function createFlightLog(
  { welcome }: CoordinatorConnection,
  offset: ClockOffsetEstimate,
  options: WorkerOptions,
  clock: Clock,
): FlightLog {
  const recorder = new FlightRecorder(() => clock.nowMs());
  const { workerId, run } = welcome;
  const { logDirectory, logger, name = hostname() } = options;
  return {
    recorder,
    async write(title) {
      if (logDirectory === undefined) return;
      const who = { runId: run.runId, workerId, name, hostName: hostname(), pid: process.pid };
      const header = {
        kind: 'header',
        formatVersion: 1,
        ...who,
        clock: offset.best,
        dropped: recorder.dropped,
      } as const;
      const text = formatFlightRecord(header, recorder.events());
      await writeFlightRecord(flightFile(logDirectory, workerId, title), text).catch((error) => logger.warn(error));
    },
  };
}
