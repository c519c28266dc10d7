/** Layer configurations for the sweep: each a small model around the layer in question. */
import { attentions } from './attention.js';
import type { LayerCase } from './case.js';
import { activations, normalisations } from './elements.js';
import { convolutions, pools } from './images.js';
import { noises } from './noises.js';
import { sequences } from './sequences.js';
import { arrangements, merges } from './structure.js';
import { volumes } from './volumes.js';

/** Where no batch can fill blocks, a large one shows nothing that a small one does not. */
const inTwoSizes = (layerCase: LayerCase): LayerCase => ({ counts: [1, 3], ...layerCase });

export const LAYER_CASES: readonly LayerCase[] = [
  ...convolutions,
  ...pools,
  ...volumes.map(inTwoSizes),
  ...normalisations,
  ...activations,
  ...merges,
  ...arrangements,
  ...sequences.map(inTwoSizes),
  ...noises.map(inTwoSizes),
  ...attentions,
];
