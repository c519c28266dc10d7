/** Layers that no engine can compute as a pure function of a grain, or that tf.layers itself computes wrong without a word. */
import { CoordError } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import { describeLayer, layersWithin } from './layer-tree.js';

interface Problem {
  readonly why: string;
  readonly hint: string;
}

interface Configured extends tfl.layers.Layer {
  readonly stateful: boolean;
  readonly dilationRate?: number | number[];
}

const RANDOM_SIZE: Problem = {
  why: 'it changes the size of images by chance, from one call to the next',
  hint: 'Take the layer out of the model, and prepare the images before they become a dataset.',
};

const STATE: Problem = {
  why: 'it carries its state from one batch to the next, so a gradient would depend on what was computed before it',
  hint: 'Leave out `stateful`, and make the sequences long enough to need no state from before.',
};

const DILATION: Problem = {
  why: 'tf.layers ignores its dilationRate without a word',
  hint: 'Use a Conv2D or SeparableConv2D layer, whose dilation works.',
};

const REFUSED: Readonly<Record<string, Problem>> = { RandomWidth: RANDOM_SIZE, RandomHeight: RANDOM_SIZE };
const WITHOUT_DILATION = new Set(['DepthwiseConv2D', 'Conv2DTranspose', 'Conv3DTranspose']);

function problemOf(layer: Configured): Problem | undefined {
  const className = layer.getClassName();
  if (layer.stateful) return STATE;
  const isDilated = [layer.dilationRate ?? 1].flat().some((rate) => rate !== 1);
  if (isDilated && WITHOUT_DILATION.has(className)) return DILATION;
  return REFUSED[className];
}

/** @throws CoordError ENGINE_UNSUPPORTED, with the layer's name and class and what to do; the same for every engine. */
export function refuseLayers(model: tfl.LayersModel): void {
  for (const layer of layersWithin(model)) {
    const problem = problemOf(layer as Configured);
    if (!problem) continue;
    const where = describeLayer(layer);
    throw new CoordError('ENGINE_UNSUPPORTED', `the model cannot be trained here: ${where}: ${problem.why}`, {
      hint: problem.hint,
      facts: { where },
    });
  }
}
