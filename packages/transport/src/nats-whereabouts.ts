/** Whereabouts: which runs have a coordinator behind a NATS server, so that a worker needs to know the server alone. */
import { CoordError } from '@coord/protocol';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { subjectPrefix } from './nats-address.js';
import { isNoResponders } from './nats-errors.js';

const SUBJECT = 'coord.whereabouts';
/** Coordinators answer at once; this is for the way. */
const ASK_MS = 700;
const MAX_ANSWER_BYTES = 1024;

const answerSchema = z.object({ runId: z.string().min(1).max(128) });

/** Answers for a run as long as the connection lives. */
export function announceRun(connection: NatsConnection, runId: string): void {
  const answer = JSON.stringify({ runId } satisfies z.infer<typeof answerSchema>);
  connection.subscribe(SUBJECT, { callback: (error, message) => void (error ?? message.respond(answer)) });
}

/** @throws CoordError UNREACHABLE when no coordinator answers; USAGE when several do. */
export async function findRun(connection: NatsConnection): Promise<string> {
  const runs = await answeringRuns(connection);
  const [only, ...others] = [...runs].sort();
  if (only !== undefined && others.length === 0) return only;
  throw only === undefined ? nobody() : several([only, ...others]);
}

async function answeringRuns(connection: NatsConnection): Promise<ReadonlySet<string>> {
  const runs = new Set<string>();
  try {
    const answers = await connection.requestMany(SUBJECT, undefined, { strategy: 'timer', maxWait: ASK_MS });
    for await (const { data } of answers) {
      const runId = readAnswer(data);
      if (runId !== undefined) runs.add(runId);
    }
  } catch (error) {
    if (!isNoResponders(error)) throw error;
  }
  return runs;
}

/** @returns undefined where this is no answer of a coordinator. */
export function readAnswer(data: Uint8Array): string | undefined {
  if (data.byteLength > MAX_ANSWER_BYTES) return undefined;
  try {
    const { runId } = answerSchema.parse(JSON.parse(Buffer.from(data).toString()));
    subjectPrefix(runId);
    return runId;
  } catch {
    // Whatever else uses this subject is no coordinator.
    return undefined;
  }
}

const nobody = (): CoordError =>
  new CoordError('UNREACHABLE', 'no coordinator answers at this NATS server', {
    hint: 'Start one there: coord start CONFIG --transport nats --nats nats://HOST:PORT.',
  });

const several = (runs: readonly string[]): CoordError =>
  new CoordError('USAGE', `several runs are at this NATS server: ${runs.join(', ')}`, {
    hint: `Name one at the end of the address, as in nats://HOST:PORT/${runs[0]}.`,
    facts: { runs: runs.join(' ') },
  });
