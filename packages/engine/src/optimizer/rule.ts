/**
 * An update rule says what an optimizer needs in one step; a kernel does the arithmetic, element by element.
 *
 * Same bits everywhere: scalars are computed in float64 from +, −, × and ÷ alone, then rounded to float32 once; kernels use
 * float32 +, −, ×, ÷ and square root alone, which IEEE 754 defines to the last bit, each rounded to float32 at once.
 */
export const KERNEL_NAMES = [
  'sgd',
  'momentum',
  'nesterov',
  'rmsprop',
  'rmspropMomentum',
  'rmspropCentered',
  'rmspropCenteredMomentum',
  'adam',
] as const;
export type KernelName = (typeof KERNEL_NAMES)[number];

/** Weights, gradients, then the rule's slots: equally long pieces of the flat buffers. */
export type Buffers = readonly Float32Array[];

/** Updates weights and slots in place. `scalars` are those of the rule, in its order. */
export type Kernel = (buffers: Buffers, scalars: readonly number[]) => void;

export interface UpdateRule {
  readonly kernel: KernelName;
  readonly slotNames: readonly string[];
  /** @param step updates done before this one. */
  scalars(step: number, learningRate: number): readonly number[];
}

/**
 * Smallest normal float32. Slots below it become zero: a weight whose gradient stays zero would otherwise keep a denormal
 * slot for ever (rounding stops its decay), and arithmetic on denormals is many times slower.
 */
const SMALLEST_NORMAL = 2 ** -126;

export const flush = (value: number): number => (Math.abs(value) < SMALLEST_NORMAL ? 0 : value);

/** A float32 epsilon that cannot vanish, so that 0 ÷ (0 + ε) is 0 in padding and for unused weights. */
export const safeEpsilon = (epsilon: number): number => Math.max(epsilon, SMALLEST_NORMAL);
