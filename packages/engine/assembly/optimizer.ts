/**
 * The optimizers' kernels in WebAssembly SIMD (AssemblyScript): the arithmetic of src/optimizer/*.ts in the same order, four
 * elements at a time, so that the bits are the same. WebAssembly has no fused multiply-add outside of relaxed SIMD, and keeps
 * denormals, so there is nothing that a compiler may choose.
 *
 * Arguments: addresses in bytes of weights, gradients and slots; number of elements (a multiple of 4); scalars.
 */

function load(base: usize, at: usize): v128 {
  return v128.load(base + at);
}
function store(base: usize, at: usize, value: v128): void {
  v128.store(base + at, value);
}
function add(a: v128, b: v128): v128 {
  return f32x4.add(a, b);
}
function sub(a: v128, b: v128): v128 {
  return f32x4.sub(a, b);
}
function mul(a: v128, b: v128): v128 {
  return f32x4.mul(a, b);
}
function div(a: v128, b: v128): v128 {
  return f32x4.div(a, b);
}
function sqrt(a: v128): v128 {
  return f32x4.sqrt(a);
}

/** Values below the smallest normal float32 become +0; NaN stays. */
function flush(value: v128): v128 {
  const small = f32x4.lt(f32x4.abs(value), f32x4.splat(<f32>1.1754943508222875e-38));
  return v128.andnot(value, small);
}

/** keep·mean + take·value, flushed */
function blend(mean: v128, value: v128, keep: v128, take: v128): v128 {
  return flush(add(mul(mean, keep), mul(value, take)));
}

export function sgd(weights: usize, gradients: usize, count: usize, learningRate: f32): void {
  const rate = f32x4.splat(learningRate);
  for (let at: usize = 0, end = count << 2; at < end; at += 16) {
    store(weights, at, sub(load(weights, at), mul(load(gradients, at), rate)));
  }
}

export function momentum(
  weights: usize,
  gradients: usize,
  accumulated: usize,
  count: usize,
  learningRate: f32,
  factor: f32,
): void {
  const rate = f32x4.splat(learningRate);
  const mu = f32x4.splat(factor);
  for (let at: usize = 0, end = count << 2; at < end; at += 16) {
    const sum = flush(add(mul(load(accumulated, at), mu), load(gradients, at)));
    store(accumulated, at, sum);
    store(weights, at, sub(load(weights, at), mul(sum, rate)));
  }
}

export function nesterov(
  weights: usize,
  gradients: usize,
  accumulated: usize,
  count: usize,
  learningRate: f32,
  factor: f32,
): void {
  const rate = f32x4.splat(learningRate);
  const mu = f32x4.splat(factor);
  for (let at: usize = 0, end = count << 2; at < end; at += 16) {
    const gradient = load(gradients, at);
    const sum = flush(add(mul(load(accumulated, at), mu), gradient));
    store(accumulated, at, sum);
    store(weights, at, sub(load(weights, at), mul(add(gradient, mul(sum, mu)), rate)));
  }
}

/** `means` is 0 unless centered, `accumulated` is 0 without momentum. */
function rmspropKernel(
  weights: usize,
  gradients: usize,
  squares: usize,
  means: usize,
  accumulated: usize,
  count: usize,
  learningRate: f32,
  decay: f32,
  rest: f32,
  smallest: f32,
  factor: f32,
  centered: bool,
  withMomentum: bool,
): void {
  const rate = f32x4.splat(learningRate);
  const keep = f32x4.splat(decay);
  const take = f32x4.splat(rest);
  const epsilon = f32x4.splat(smallest);
  const mu = f32x4.splat(factor);
  for (let at: usize = 0, end = count << 2; at < end; at += 16) {
    const gradient = load(gradients, at);
    let spread = blend(load(squares, at), mul(gradient, gradient), keep, take);
    store(squares, at, spread);
    if (centered) {
      const mean = blend(load(means, at), gradient, keep, take);
      store(means, at, mean);
      spread = f32x4.max(sub(spread, mul(mean, mean)), f32x4.splat(0));
    }
    let change = div(mul(gradient, rate), sqrt(add(spread, epsilon)));
    if (withMomentum) {
      change = flush(add(mul(load(accumulated, at), mu), change));
      store(accumulated, at, change);
    }
    store(weights, at, sub(load(weights, at), change));
  }
}

export function rmsprop(
  weights: usize,
  gradients: usize,
  squares: usize,
  count: usize,
  rate: f32,
  keep: f32,
  take: f32,
  epsilon: f32,
  mu: f32,
): void {
  rmspropKernel(weights, gradients, squares, 0, 0, count, rate, keep, take, epsilon, mu, false, false);
}

export function rmspropMomentum(
  weights: usize,
  gradients: usize,
  squares: usize,
  accumulated: usize,
  count: usize,
  rate: f32,
  keep: f32,
  take: f32,
  epsilon: f32,
  mu: f32,
): void {
  rmspropKernel(weights, gradients, squares, 0, accumulated, count, rate, keep, take, epsilon, mu, false, true);
}

export function rmspropCentered(
  weights: usize,
  gradients: usize,
  squares: usize,
  means: usize,
  count: usize,
  rate: f32,
  keep: f32,
  take: f32,
  epsilon: f32,
  mu: f32,
): void {
  rmspropKernel(weights, gradients, squares, means, 0, count, rate, keep, take, epsilon, mu, true, false);
}

export function rmspropCenteredMomentum(
  weights: usize,
  gradients: usize,
  squares: usize,
  means: usize,
  accumulated: usize,
  count: usize,
  rate: f32,
  keep: f32,
  take: f32,
  epsilon: f32,
  mu: f32,
): void {
  rmspropKernel(weights, gradients, squares, means, accumulated, count, rate, keep, take, epsilon, mu, true, true);
}

export function adam(
  weights: usize,
  gradients: usize,
  first: usize,
  second: usize,
  count: usize,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  learningRate: f32,
  unbias: f32,
  smallest: f32,
  weightDecay: f32,
): void {
  const keep1 = f32x4.splat(beta1);
  const take1 = f32x4.splat(rest1);
  const keep2 = f32x4.splat(beta2);
  const take2 = f32x4.splat(rest2);
  const rate = f32x4.splat(learningRate);
  const correction = f32x4.splat(unbias);
  const epsilon = f32x4.splat(smallest);
  const decay = f32x4.splat(weightDecay);
  for (let at: usize = 0, end = count << 2; at < end; at += 16) {
    const gradient = load(gradients, at);
    const m = blend(load(first, at), gradient, keep1, take1);
    const v = blend(load(second, at), mul(gradient, gradient), keep2, take2);
    store(first, at, m);
    store(second, at, v);
    const change = div(mul(m, rate), add(sqrt(mul(v, correction)), epsilon));
    const weight = load(weights, at);
    store(weights, at, sub(weight, add(change, mul(weight, decay))));
  }
}
