/** Losses by name. */
import type { RunSpec } from '@coord/protocol';
import { binaryCrossentropy, hinge } from './binary.js';
import { categoricalCrossentropy, cosineProximity, klDivergence } from './categorical.js';
import type { LossRule } from './loss.js';
import { huber, meanAbsoluteError, meanSquaredError } from './regression.js';

export const LOSS_RULES: Readonly<Record<RunSpec['loss'], LossRule>> = {
  categoricalCrossentropy,
  binaryCrossentropy,
  meanSquaredError,
  meanAbsoluteError,
  huber,
  hinge,
  klDivergence,
  cosineProximity,
};
