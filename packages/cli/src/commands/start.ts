import { createToken, EXIT_CODE, stepsPerEpoch } from '@coord/protocol';
import { type Colors, colorsFor } from '../colors.js';
import { planOf, totalStepsOf } from '../initial-state.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import { isLoopback } from '../listen.js';
import { createLogger } from '../log.js';
import type { StartOptions } from '../options.js';
import { type PreparedStart, prepareStart } from '../prepare-start.js';
import { findToken } from '../token.js';
import { coordinatorLogFile, startTraining, type Training } from '../train.js';
import { formatCount, plural } from '../view/format.js';
import type { Plan } from '../view/progress.js';
import { type FinishedLine, finishedLine, summaryLines } from '../view/summary.js';
import { createBarView, createJsonView, createLineView, type View } from '../view/view.js';

/** @throws CoordError of the preparation, the coordinator or the run. */
export async function runStart(configFile: string | undefined, options: StartOptions, io: CommandIo): Promise<number> {
  const prepared = await prepareStart(configFile, options);
  const plan = viewPlan(prepared);
  const colors = colorsFor(io.stdout, io.env);
  const view = options.json ? createJsonView(io.stdout, io.stderr) : chooseView(io, plan, colors);
  const { json } = options;
  if (!json) writeLine(io.stdout, headline(prepared, plan, colors));
  const token = findToken(options.token, io.env) ?? createToken();
  const training = await startTraining({
    config: prepared.config,
    prepared: prepared.prepared,
    initialState: prepared.initialState,
    runDir: prepared.runDir,
    token,
    logger: createLogger({
      name: 'coordinator',
      file: coordinatorLogFile(prepared.runDir),
      stderr: options.verbose,
    }),
    onEvent: (event) => view.event(event),
    onNotice: (text) => view.say(text),
  });
  view.say(joinLine(training, token, colors));
  const interrupts = stopOnInterrupt(training, view, io);
  try {
    const result = await training.finished;
    view.close();
    const line = finishedLine(result, prepared.runDir);
    if (!json) for (const text of summaryLines(line, plan)) writeLine(io.stdout, text);
    if (interrupts.count > 0 || line.stopped) sayHowToResume(prepared, line, json ? io.stderr : io.stdout);
    if (json) writeJson(io.stdout, line);
    return interrupts.count > 0 ? EXIT_CODE.interrupted : EXIT_CODE.ok;
  } catch (error) {
    view.close();
    throw error;
  } finally {
    interrupts.release();
  }
}

function chooseView(io: CommandIo, plan: Plan, colors: Colors): View {
  const nowMs = () => performance.now();
  return io.stdout.isTTY ? createBarView(io.stdout, plan, colors, nowMs) : createLineView(io.stdout, plan, nowMs);
}

function viewPlan({ config, prepared: { spec } }: PreparedStart): Plan {
  const plan = planOf(spec);
  const isImage = spec.data.fields.some((field) => field.role === 'input' && field.shape.length === 3);
  return {
    epochs: config.epochs,
    totalSteps: totalStepsOf(spec),
    stepsPerEpoch: stepsPerEpoch(plan),
    globalBatch: plan.grains * plan.grainSize,
    noun: isImage ? 'images' : 'samples',
    hasAccuracy: spec.data.classes !== undefined,
  };
}

function headline(
  { config, prepared: { spec }, initialState, runDir, resumed }: PreparedStart,
  plan: Plan,
  colors: Colors,
): string {
  const parameters = initialState.layout.parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  const { grains, grainSize } = spec.batch;
  return [
    `${colors.bold(config.model.name)}, ${plural(parameters, 'parameter')}, on ${formatCount(spec.data.train.samples)} samples of ${spec.data.name}; ${config.optimizer.name}, global batch ${plan.globalBatch} (${grains} × ${grainSize}), ${plural(plan.totalSteps, 'step')}`,
    `run directory ${runDir}${resumed ? `, resumed after step ${formatCount(initialState.step)}` : ''}`,
  ].join('\n');
}

/** The line to paste on another machine, and a word on who can reach this one. */
function joinLine({ coordinator }: Training, token: string, colors: Colors): string {
  const line = colors.bold(`coord worker ${coordinator.urls[0]} --token ${token}`);
  const where = isLoopback(coordinator.endpoint.host)
    ? 'to add a worker from this machine (others can join with --listen 0.0.0.0:PORT)'
    : 'to add a worker from any machine that reaches this one';
  return `${where}:\n  ${line}`;
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

function sayHowToResume({ runDir }: PreparedStart, line: FinishedLine, output: CommandIo['stdout']): void {
  const text =
    line.checkpoint === null
      ? 'stopped before the first step: there is nothing to resume'
      : `to resume: coord start --resume ${runDir}`;
  writeLine(output, text);
}
