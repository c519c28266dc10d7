/** All shape rules. A kernel without one cannot be traced. */
import type { ShapeRules } from './shape-rule.js';
import { arrangeShapes } from './shapes/arrange.js';
import { elementwiseShapes } from './shapes/elementwise.js';
import { indexShapes } from './shapes/index-kernels.js';
import { linearShapes } from './shapes/linear.js';
import { ownShapes } from './shapes/own.js';
import { poolingShapes } from './shapes/pooling.js';
import { reduceShapes } from './shapes/reduce.js';
import { volumeShapes } from './shapes/volume.js';

export const SHAPE_RULES: ShapeRules = {
  ...elementwiseShapes,
  ...reduceShapes,
  ...arrangeShapes,
  ...indexShapes,
  ...linearShapes,
  ...poolingShapes,
  ...volumeShapes,
  ...ownShapes,
};
