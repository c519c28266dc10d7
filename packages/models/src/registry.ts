/** Models by name. */
import { CoordError } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import { closest } from 'fastest-levenshtein';
import { cnn } from './cnn.js';
import type { ModelDefinition } from './definition.js';
import { gpt } from './gpt.js';
import { mlp } from './mlp.js';
import { resnet } from './resnet.js';
import { textCnn } from './text-cnn.js';
import { transformerClassifier } from './transformer-classifier.js';
import './orthogonal.js';
import './tensors.js';

const DEFINITIONS: readonly ModelDefinition[] = [mlp, cnn, resnet, textCnn, transformerClassifier, gpt];

/** Every model of the library, in the order in which it is listed. */
export const listModels = (): readonly ModelDefinition[] => DEFINITIONS;

/** @throws CoordError MODEL_UNKNOWN, with the nearest name. */
export function findModel(name: string): ModelDefinition {
  const found = DEFINITIONS.find((definition) => definition.name === name);
  if (found) return found;
  const names = DEFINITIONS.map((definition) => definition.name);
  const nearest = closest(name, names);
  throw new CoordError('MODEL_UNKNOWN', `there is no model "${name}"`, {
    hint: `Did you mean "${nearest}"? The library has: ${names.join(', ')}.`,
    facts: { name, nearest },
  });
}

/**
 * Builds a model of the library.
 *
 * @param options the model's hyper-parameters; what is left out takes its default.
 * @throws CoordError MODEL_UNKNOWN; MODEL_INVALID when an option has a wrong name or value, or when the layers do not fit.
 */
export function createModel(name: string, options: unknown = {}): tfl.LayersModel {
  const definition = findModel(name);
  const parsed = definition.options.safeParse(options);
  if (!parsed.success) throw optionError(definition, parsed.error.issues[0]);
  try {
    return withoutEmptyLayers(definition.build(parsed.data));
  } catch (cause) {
    throw new CoordError('MODEL_INVALID', `model "${name}" cannot be built: ${(cause as Error).message}`, {
      hint: 'Check that the input shape is large enough for the model.',
      facts: { name },
      cause,
    });
  }
}

/** tf.layers lets windows shrink an image to nothing. */
function withoutEmptyLayers(model: tfl.LayersModel): tfl.LayersModel {
  const empty = model.layers.find((layer) =>
    layer.inboundNodes
      .flatMap((node) => node.outputShapes)
      .flat(2)
      .some((extent) => extent !== null && extent < 1),
  );
  if (empty) throw new Error(`nothing is left of the input after layer "${empty.name}"`);
  return model;
}

function optionError(definition: ModelDefinition, issue: { path: PropertyKey[]; message: string }): CoordError {
  const option = issue.path.map(String).join('.') || '(options)';
  return new CoordError('MODEL_INVALID', `model "${definition.name}": option ${option}: ${issue.message}`, {
    hint: '`coord models` lists every model with its options.',
    facts: { name: definition.name, option },
  });
}
