/**
 * The losses once more, in plain float64 loops over final outputs (probabilities, numbers, scores): written from their
 * definitions, with nothing in common with the tensors' way.
 */
import type { LossSpec } from '@coord/protocol';

const EPSILON = 1e-7;
const clip = (p: number): number => Math.min(1 - EPSILON, Math.max(EPSILON, p));

/** One sample of one place: outputs, and the target as a distribution over classes or as numbers. */
export function lossOfPlace(spec: LossSpec, outputs: readonly number[], target: readonly number[]): number {
  const mean = (of: (output: number, wanted: number) => number) =>
    outputs.reduce((sum, output, at) => sum + of(output, target[at]), 0) / outputs.length;
  switch (spec.name) {
    case 'categoricalCrossentropy':
      return crossEntropy(
        outputs,
        target.map((share) => share * (1 - spec.labelSmoothing) + spec.labelSmoothing / target.length),
      );
    case 'sparseCategoricalCrossentropy':
      return crossEntropy(outputs, target);
    case 'binaryCrossentropy':
      return mean((output, wanted) => {
        const yes = wanted * (1 - spec.labelSmoothing) + spec.labelSmoothing / 2;
        return -yes * Math.log(clip(output)) - (1 - yes) * Math.log(clip(1 - output));
      });
    case 'meanSquaredError':
      return mean((output, wanted) => (output - wanted) ** 2);
    case 'meanAbsoluteError':
      return mean((output, wanted) => Math.abs(output - wanted));
    case 'huber':
      return mean((output, wanted) => {
        const size = Math.abs(output - wanted);
        return size <= spec.delta ? size ** 2 / 2 : spec.delta * (size - spec.delta / 2);
      });
    case 'logCosh':
      return mean((output, wanted) => Math.log(Math.cosh(output - wanted)));
    case 'poisson':
      return mean((output, wanted) => output - wanted * Math.log(output + EPSILON));
    case 'hinge':
      return mean((output, wanted) => Math.max(0, 1 - (2 * wanted - 1) * output));
    case 'squaredHinge':
      return mean((output, wanted) => Math.max(0, 1 - (2 * wanted - 1) * output) ** 2);
    case 'categoricalHinge': {
      const label = target.indexOf(1);
      const others = outputs.map((output, at) => (at === label ? 0 : output));
      return Math.max(0, 1 + Math.max(...others) - outputs[label]);
    }
    case 'klDivergence':
      return target.reduce((sum, share, at) => {
        const wanted = Math.min(1, Math.max(EPSILON, share));
        return sum + wanted * Math.log(wanted / Math.min(1, Math.max(EPSILON, outputs[at])));
      }, 0);
    case 'cosineProximity': {
      const norm = (values: readonly number[]) => Math.hypot(...values);
      return -outputs.reduce((sum, output, at) => sum + output * target[at], 0) / norm(outputs) / norm(target);
    }
  }
}

const crossEntropy = (outputs: readonly number[], target: readonly number[]): number => {
  const total = outputs.reduce((sum, output) => sum + output, 0);
  return -target.reduce((sum, share, at) => sum + share * Math.log(clip(outputs[at] / total)), 0);
};
