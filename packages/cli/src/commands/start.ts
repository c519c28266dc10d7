import { rm } from 'node:fs/promises';
import { compileWarnings } from '@coord/engine';
import { EXIT_CODE } from '@coord/protocol';
import { type Colors, colorsFor } from '../colors.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import { createLogger } from '../log.js';
import type { StartOptions } from '../options.js';
import { type PreparedStart, prepareStart } from '../prepare-start.js';
import { prepareTokens } from '../start-tokens.js';
import { findToken, natsCredentials } from '../token.js';
import { coordinatorLogFile, localExitText, startTraining, type Training } from '../train.js';
import type { Plan } from '../view/progress.js';
import { headline, joinLine, noteLine, resumeLine, startedLine, viewPlan } from '../view/start-texts.js';
import { type FinishedLine, finishedLine, summaryLines } from '../view/summary.js';
import { createBarView, createJsonView, createLineView, type View } from '../view/view.js';

/** @throws CoordError of the preparation, the coordinator or the run. */
export async function runStart(configFile: string | undefined, options: StartOptions, io: CommandIo): Promise<number> {
  const start = await prepareStart(configFile, options);
  const plan = viewPlan(start);
  const colors = colorsFor(io.stdout, io.env);
  const view = chooseView(options, io, plan, colors);
  const notes = [...(start.notes ?? []), ...compileWarnings(start.prepared.spec.model.topology)];
  if (!options.json) writeLine(io.stdout, [headline(start, plan, colors), ...notes.map(noteLine)].join('\n'));
  const training = await launch(start, options, view, io);
  if (options.json) writeJson(io.stdout, startedLine(start, plan, training.coordinator, notes));
  else view.say(joinLine(training.coordinator, colors));
  const interrupts = stopOnInterrupt(training, view, io);
  try {
    const line = finishedLine(await training.finished, start.runDir);
    view.close();
    conclude(line, plan, options, io);
    return interrupts.count > 0 ? EXIT_CODE.interrupted : EXIT_CODE.ok;
  } catch (error) {
    view.close();
    throw error;
  } finally {
    interrupts.release();
  }
}

async function launch(start: PreparedStart, options: StartOptions, view: View, io: CommandIo): Promise<Training> {
  try {
    return await startTraining({
      ...start,
      tokens: await prepareTokens(start.runDir, findToken(options.token, io.env)),
      natsCredentials: natsCredentials(io.env),
      logger: createLogger({ name: 'coordinator', file: coordinatorLogFile(start.runDir), stderr: options.verbose }),
      onEvent: (event) => view.event(event),
      onNotice: (text) => view.say(text),
      onLocalExit(exit) {
        if (options.json) writeJson(io.stdout, { event: 'local-worker-exited', ...exit });
        else view.say(localExitText(exit));
      },
    });
  } catch (error) {
    view.close();
    // A run that never began leaves nothing behind; a directory that its user named is not ours to remove.
    if (!start.resumed && options.runDir === undefined) await rm(start.runDir, { recursive: true, force: true });
    throw error;
  }
}

function conclude(line: FinishedLine, plan: Plan, { json }: StartOptions, io: CommandIo): void {
  if (json) writeJson(io.stdout, line);
  else for (const text of summaryLines(line, plan)) writeLine(io.stdout, text);
  if (line.stopped) writeLine(json ? io.stderr : io.stdout, resumeLine(line.runDir, line));
}

function chooseView({ json }: StartOptions, io: CommandIo, plan: Plan, colors: Colors): View {
  if (json) return createJsonView(io.stdout, io.stderr);
  const nowMs = () => performance.now();
  return io.stdout.isTTY ? createBarView(io.stdout, plan, colors, nowMs) : createLineView(io.stdout, plan, nowMs);
}

interface Interrupts {
  readonly count: number;
  release(): void;
}

/** Ctrl-C once: an orderly end with a checkpoint. Twice: at once. */
function stopOnInterrupt(training: Training, view: View, io: CommandIo): Interrupts {
  let count = 0;
  const release = io.onInterrupt(() => {
    count++;
    if (count > 1) {
      training.killNow();
      io.exit(EXIT_CODE.interrupted);
      return;
    }
    view.say('stopping after this step, writing a checkpoint … (once more to end at once)');
    training.coordinator.requestStop('interrupted by its user');
  });
  return {
    get count() {
      return count;
    },
    release,
  };
}
