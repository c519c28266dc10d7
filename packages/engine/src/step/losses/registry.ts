/** Losses by name. */
import type { LossName, LossSpec } from '@coord/protocol';
import { binaryCrossentropy, hinge, squaredHinge } from './binary.js';
import {
  categoricalCrossentropy,
  categoricalHinge,
  cosineProximity,
  klDivergence,
  sparseCategoricalCrossentropy,
} from './categorical.js';
import type { LossRule } from './loss.js';
import { huber, logCosh, meanAbsoluteError, meanSquaredError, poisson } from './regression.js';

const LOSS_RULES: { readonly [Name in LossName]: LossRule<Name> } = {
  categoricalCrossentropy,
  sparseCategoricalCrossentropy,
  binaryCrossentropy,
  meanSquaredError,
  meanAbsoluteError,
  huber,
  logCosh,
  poisson,
  hinge,
  squaredHinge,
  categoricalHinge,
  klDivergence,
  cosineProximity,
};

/** A rule is only ever given specifications of its own name. */
export const lossRuleOf = ({ name }: LossSpec): LossRule => LOSS_RULES[name] as LossRule;
