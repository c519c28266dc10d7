/** What `coord start` says at its beginning and its end, beside the view. Pure. */
import type { Coordinator } from '@coord/coordinator';
import { stepsPerEpoch } from '@coord/protocol';
import type { Colors } from '../colors.js';
import { planOf, totalStepsOf } from '../initial-state.js';
import { isLoopback } from '../listen.js';
import type { PreparedStart } from '../prepare-start.js';
import { formatCount, plural } from './format.js';
import type { Plan } from './progress.js';
import type { FinishedLine } from './summary.js';

export function viewPlan({ config, prepared: { spec } }: PreparedStart): Plan {
  const plan = planOf(spec);
  const isImage = spec.data.fields.some((field) => field.role === 'input' && field.shape.length === 3);
  return {
    epochs: config.epochs,
    totalSteps: totalStepsOf(spec),
    stepsPerEpoch: stepsPerEpoch(plan),
    globalBatch: plan.grains * plan.grainSize,
    noun: isImage ? 'images' : 'samples',
  };
}

export function headline(
  { config, prepared: { spec }, initialState, runDir, resumed }: PreparedStart,
  plan: Plan,
  colors: Colors,
): string {
  const parameters = initialState.layout.parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  const { grains, grainSize } = spec.batch;
  return [
    `${colors.bold(spec.model.name)}, ${plural(parameters, 'parameter')}, on ${formatCount(spec.data.train.samples)} samples of ${spec.data.name}; ${config.optimizer.name}, global batch ${plan.globalBatch} (${grains} × ${grainSize}), ${plural(plan.totalSteps, 'step')}`,
    `run directory ${runDir}${resumed ? `, resumed after step ${formatCount(initialState.step)}` : ''}`,
  ].join('\n');
}

export const noteLine = (note: string): string => `note: ${note}`;

/** First line of `--json`: where the run is kept, what a worker needs to join it, what to know about the model. */
export function startedLine(
  start: PreparedStart,
  plan: Plan,
  coordinator: Coordinator,
  notes: readonly string[],
): object {
  const { spec } = start.prepared;
  const { runId, configSha256 } = spec;
  const [url] = coordinator.urls;
  const step = start.initialState.step;
  return {
    event: 'started',
    runId,
    runDir: start.runDir,
    model: spec.model.name,
    configSha256,
    step,
    totalSteps: plan.totalSteps,
    url,
    token: coordinator.token,
    notes,
  };
}

/** The line to paste on another machine, and a word on who can reach this one. */
export function joinLine(coordinator: Coordinator, colors: Colors): string {
  const line = colors.bold(`npx coord worker ${coordinator.urls[0]} --token ${coordinator.token}`);
  if (isNats(coordinator)) return `to add a worker from any machine that reaches the NATS server:\n  ${line}`;
  const where = isLoopback(coordinator.endpoint.host)
    ? 'to add a worker from this machine (others can join with --listen 0.0.0.0:PORT)'
    : 'to add a worker from any machine that reaches this one';
  return `${where}:\n  ${line}`;
}

const isNats = ({ urls }: Coordinator): boolean => urls[0].startsWith('nats');

export const resumeLine = (runDir: string, line: FinishedLine): string =>
  line.checkpoint === null
    ? 'stopped before the first step: there is nothing to resume'
    : `to resume: npx coord start --resume ${runDir}`;
