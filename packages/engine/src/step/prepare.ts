/**
 * What both engines agree on before they compute: which weights there are, and where the step can work on logits.
 *
 * Cross-entropy of a softmax loses all precision when it is taken from rounded probabilities. So where the last activation
 * is a softmax and the loss is cross-entropy, the step computes a model that ends in logits.
 */

import { modelFromTopology } from '@coord/models';
import { CoordError, createLayout, type Layout, LOSSES, type LossSpec, lossesOf } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import type { StepSpec } from '../engine.js';
import { withBackend } from '../tensors.js';
import { withoutFinalActivations } from './logits.js';
import { checkLoss } from './losses/check.js';
import { lossRuleOf } from './losses/registry.js';
import { refuseLayers } from './refuse-layers.js';

export interface PreparedStep {
  readonly spec: StepSpec;
  readonly layout: Layout;
  /** The model as it is trained: without the final activations in `finalActivations`. */
  readonly trainedTopology: string;
  /** One an output: the activation that was taken off, or undefined. */
  readonly finalActivations: readonly (string | undefined)[];
  /** One an output. */
  readonly losses: readonly LossSpec[];
}

/** @throws CoordError MODEL_INVALID, ENGINE_UNSUPPORTED, LOSS_UNKNOWN, LOSS_INVALID, DATASET_INVALID when the dataset's fields do not fit the model */
export function prepareStep(spec: StepSpec): PreparedStep {
  const model = withBackend('cpu', () => modelFromTopology(spec.topology, { initialise: false }));
  try {
    refuseLayers(model);
    checkFields('input', spec.inputs.length, model.inputs.length);
    checkFields('target', spec.targets.length, model.outputs.length);
    const losses = knownLosses(spec, model.outputs.length);
    const preferred = losses.map((loss) => lossRuleOf(loss).logitsOf);
    const { topology, removed } = withoutFinalActivations(spec.topology, preferred);
    losses.forEach((loss, output) => {
      const classes = model.outputs[output].shape.at(-1) ?? undefined;
      checkLoss(loss, output, {
        classes,
        target: spec.targets[output],
        endsInActivation: removed[output] !== undefined,
      });
    });
    return { spec, losses, layout: layoutOf(model), trainedTopology: topology, finalActivations: removed };
  } finally {
    model.dispose();
  }
}

function knownLosses({ loss }: StepSpec, outputs: number): LossSpec[] {
  const losses = lossesOf(loss, outputs);
  const stranger = losses.find(({ name }) => !LOSSES.includes(name));
  if (stranger) {
    throw new CoordError('LOSS_UNKNOWN', `there is no loss "${stranger.name}"`, {
      hint: `Known: ${LOSSES.join(', ')}.`,
    });
  }
  if (losses.length === outputs) return losses;
  throw new CoordError('LOSS_INVALID', `there are ${losses.length} losses for the ${outputs} outputs of the model`, {
    hint: 'Give one loss, which every output then has, or a list with one an output.',
    facts: { losses: losses.length, outputs },
  });
}

function checkFields(role: 'input' | 'target', fields: number, slots: number): void {
  if (fields === slots) return;
  const place = role === 'input' ? 'inputs' : 'outputs';
  throw new CoordError(
    'DATASET_INVALID',
    `the dataset has ${fields} ${role} fields, but the model has ${slots} ${place}`,
    {
      hint: 'Choose a model and a dataset that fit each other.',
      facts: { role, fields, slots },
    },
  );
}

/** Parameters in the order of `model.weights`, under their names in the topology. */
export function layoutOf(model: tfl.LayersModel): Layout {
  const statistics = new Set(
    model.layers.filter((layer) => layer.trainable).flatMap((layer) => layer.nonTrainableWeights),
  );
  const taken = new Map<string, number>();
  const specs = model.weights.map((weight) => ({
    name: uniqueName(weight.originalName, taken),
    shape: weight.shape.map(Number),
    role: statistics.has(weight) ? ('statistic' as const) : ('trainable' as const),
  }));
  return createLayout(specs);
}

/** Two weights of one layer may share a name (the directions of a bidirectional layer); their order tells them apart. */
function uniqueName(name: string, taken: Map<string, number>): string {
  const count = taken.get(name) ?? 0;
  taken.set(name, count + 1);
  return count === 0 ? name : `${name}_${count}`;
}
