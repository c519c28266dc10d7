export { createOptimizer, type Optimizer, type OptimizerOptions, type OptimizerUpdate } from './optimizer.js';
export { applyRegularization, globalNorm } from './regularization.js';
export { learningRateAt } from './schedule.js';
