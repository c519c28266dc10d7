/** A schedule of faults: data, so that a failure can be repeated. */
import { errorText, readTextLimited } from '@coord/disk';
import { CoordError } from '@coord/protocol';
import { parseDocument } from 'yaml';
import { z } from 'zod';

const count = z.number().int().min(0).max(1_000_000_000);
const workerNumber = z.number().int().min(1).max(1024).describe('From 1.');
const durationMs = z.number().int().min(1).max(600_000);

/** When a fault begins: once the cluster has completed so many steps, or so long after the first one. */
const when = { atStep: count.optional(), atMs: count.optional() };
const on = { ...when, worker: workerNumber };
/** How long it lasts; after that the process is started again, goes on, or has its network or disk back. */
const lasting = { forMs: durationMs };

const faultSchema = z
  .discriminatedUnion('kind', [
    /** kill -9. */
    z.strictObject({ kind: z.literal('kill'), ...on, ...lasting }),
    /** SIGSTOP, then SIGCONT. */
    z.strictObject({ kind: z.literal('stop'), ...on, ...lasting }),
    /** Ctrl-C: says goodbye. */
    z.strictObject({ kind: z.literal('leave'), ...on, ...lasting }),
    /** A worker more, which says goodbye afterwards. */
    z.strictObject({ kind: z.literal('join'), ...when, ...lasting }),
    /** Nothing reaches the worker, nothing comes from it, and no connection ends. */
    z.strictObject({ kind: z.literal('partition'), ...on, ...lasting }),
    /** Its connections are reset, and new ones refused. */
    z.strictObject({ kind: z.literal('cut'), ...on, ...lasting }),
    z.strictObject({
      kind: z.literal('slow-link'),
      ...on,
      ...lasting,
      delayMs: z.number().int().min(0).max(10_000),
      bytesPerSecond: z.number().int().min(1000),
    }),
    /** One bit of what is under way flips. */
    z.strictObject({ kind: z.literal('corrupt'), ...on, link: z.enum(['ring', 'coordinator']) }),
    /** No byte more fits on the file system of run directory, logs and caches. */
    z.strictObject({ kind: z.literal('disk-full'), ...when, ...lasting }),
    /** The wall clock of a worker jumps; of the coordinator where no worker is named. */
    z.strictObject({ kind: z.literal('clock-jump'), ...when, worker: workerNumber.optional(), byMs: z.number().int() }),
    /** kill -9, then `coord start --resume`. */
    z.strictObject({ kind: z.literal('coordinator-kill'), ...when, ...lasting }),
  ])
  .refine(({ atStep, atMs }) => (atStep === undefined) !== (atMs === undefined), 'needs either atStep or atMs');

export type Fault = z.infer<typeof faultSchema>;
export type FaultKind = Fault['kind'];

export const FAULT_KINDS = [
  'kill',
  'stop',
  'leave',
  'join',
  'partition',
  'cut',
  'slow-link',
  'corrupt',
  'disk-full',
  'clock-jump',
  'coordinator-kill',
] as const satisfies readonly FaultKind[];

export const scheduleSchema = z.strictObject({
  /** Of the run; the faults were drawn with it as well. */
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  workers: z.number().int().min(1).max(1024),
  faults: z.array(faultSchema).max(100_000),
});
/** Above the largest schedule, as YAML. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
export type Schedule = z.infer<typeof scheduleSchema>;

/** @throws CoordError CONFIG_NOT_FOUND, CONFIG_INVALID naming the first wrong place. */
export async function loadSchedule(file: string): Promise<Schedule> {
  const text = await readTextLimited(file, MAX_FILE_BYTES).catch((cause) => {
    const what = `cannot read the schedule ${file}: ${errorText(cause)}`;
    throw new CoordError('CONFIG_NOT_FOUND', what, { cause, facts: { file } });
  });
  return parseSchedule(text, file);
}

export function parseSchedule(text: string, file: string): Schedule {
  const result = scheduleSchema.safeParse(yamlOf(text, file));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw invalid(file, `${issue.path.join('.') || 'the schedule'}: ${issue.message}`);
  }
  const { workers, faults } = result.data;
  const strange = faults.findIndex((fault) => 'worker' in fault && (fault.worker ?? 1) > workers);
  if (strange >= 0) throw invalid(file, `faults.${strange}.worker: there are ${workers} workers`);
  return result.data;
}

/** What YAML only warns of (a tag that nobody knows, say) is a slip of the pen, too. */
function yamlOf(text: string, file: string): unknown {
  const document = parseDocument(text);
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) throw invalid(file, problem.message, problem);
  try {
    return document.toJS();
  } catch (cause) {
    // Aliases that lead nowhere, or explode.
    throw invalid(file, (cause as Error).message, cause);
  }
}

const invalid = (file: string, what: string, cause?: unknown): CoordError =>
  new CoordError('CONFIG_INVALID', `the schedule ${file} is wrong: ${what}`, {
    hint: 'docs/chaos.md has an example; `coord chaos --json` prints the schedule that it drew.',
    facts: { file },
    cause,
  });
