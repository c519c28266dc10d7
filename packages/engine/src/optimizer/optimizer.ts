/**
 * Optimizers: pure, deterministic updates of flat float32 buffers. The state they need beside the weights (slots) belongs
 * to the caller, starts as zeros and travels with the weights, so an optimizer itself has nothing to save or to recover.
 */
import { CoordError, type Layout, type OptimizerSpec } from '@coord/protocol';
import { adamRule } from './adam.js';
import { KERNELS } from './kernels.js';
import { momentumRule } from './momentum.js';
import { pieceOf, rangesOf } from './ranges.js';
import { rmspropRule } from './rmsprop.js';
import type { Buffers, UpdateRule } from './rule.js';
import { sgdRule } from './sgd.js';
import { createWasmRunner } from './wasm.js';

export interface OptimizerUpdate {
  /** Flat float32, `layout.totalSize` elements; updated in place. */
  readonly weights: Float32Array;
  /** Mean gradient, flat like the weights, zero in the padding; for `statistic` parameters the mean proposed value. */
  readonly gradients: Float32Array;
  /** One buffer for each of `slotNames`, flat like the weights, zeros before the first step; updated in place. */
  readonly slots: ReadonlyMap<string, Float32Array>;
  /** Updates done before this one. */
  readonly step: number;
  readonly learningRate: number;
}

export interface Optimizer {
  readonly slotNames: readonly string[];
  /**
   * Does one update. Parameters of role `statistic` take the value in `gradients`; nothing else touches them.
   * @throws RangeError when a buffer is missing or has not the layout's length; nothing is changed then.
   */
  apply(update: OptimizerUpdate): void;
}

export interface OptimizerOptions {
  /**
   * The memory that the buffers are cut from (see createArena): the update then runs in WebAssembly SIMD, several times
   * faster and with the same bits. Buffers that lie elsewhere are updated by the JavaScript kernels. To a thread, memory and
   * buffers must go in one message: only then are the buffers views of that memory there.
   */
  readonly memory?: WebAssembly.Memory;
}

/** @throws CoordError OPTIMIZER_UNKNOWN; ENGINE_UNAVAILABLE when `memory` is given and the WebAssembly kernels are not built. */
export function createOptimizer(spec: OptimizerSpec, layout: Layout, options: OptimizerOptions = {}): Optimizer {
  const rule = ruleOf(spec);
  const trainable = rangesOf(layout, 'trainable');
  const statistics = rangesOf(layout, 'statistic');
  const wasm = options.memory && createWasmRunner(options.memory);
  return {
    slotNames: rule.slotNames,
    apply(update) {
      const buffers = buffersOf(update, rule, layout);
      const scalars = rule.scalars(update.step, update.learningRate);
      const run = wasm?.reaches(buffers) ? wasm.kernels[rule.kernel] : KERNELS[rule.kernel];
      for (const range of trainable) {
        run(
          buffers.map((buffer) => pieceOf(range, buffer)),
          scalars,
        );
      }
      for (const range of statistics) update.weights.set(pieceOf(range, update.gradients), range.start);
    },
  };
}

function ruleOf(spec: OptimizerSpec): UpdateRule {
  switch (spec.name) {
    case 'sgd':
      return sgdRule();
    case 'momentum':
      return momentumRule(spec);
    case 'rmsprop':
      return rmspropRule(spec);
    case 'adam':
      return adamRule({ ...spec, weightDecay: 0 });
    case 'adamw':
      return adamRule(spec);
    default:
      spec satisfies never;
      throw new CoordError('OPTIMIZER_UNKNOWN', `there is no optimizer ${JSON.stringify(spec)}`, {
        hint: 'Use sgd, momentum, rmsprop, adam or adamw.',
      });
  }
}

function buffersOf(update: OptimizerUpdate, rule: UpdateRule, layout: Layout): Buffers {
  const named = new Map([['weights', update.weights], ['gradients', update.gradients], ...update.slots]);
  return ['weights', 'gradients', ...rule.slotNames].map((name) => {
    const buffer = named.get(name);
    if (buffer?.length === layout.totalSize) return buffer;
    throw new RangeError(
      `the optimizer's buffer ${name} has ${buffer?.length ?? 'no'} elements, not ${layout.totalSize}`,
    );
  });
}
