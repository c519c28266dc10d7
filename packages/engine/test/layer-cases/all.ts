/** Layer configurations for the sweep: each a small model around the layer in question. */
import type { LayerCase } from './case.js';
import { activations, normalisations } from './elements.js';
import { convolutions, pools } from './images.js';
import { noises } from './noises.js';
import { sequences } from './sequences.js';
import { arrangements, merges } from './structure.js';
import { volumes } from './volumes.js';

export const LAYER_CASES: readonly LayerCase[] = [
  ...convolutions,
  ...pools,
  ...volumes,
  ...normalisations,
  ...activations,
  ...merges,
  ...arrangements,
  ...sequences,
  ...noises,
];
