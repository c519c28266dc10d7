/** Short names for vectors of four float32, and 2^x. */

export function add(a: v128, b: v128): v128 {
  return f32x4.add(a, b);
}
export function sub(a: v128, b: v128): v128 {
  return f32x4.sub(a, b);
}
export function mul(a: v128, b: v128): v128 {
  return f32x4.mul(a, b);
}

/** A number that is not known beforehand, in all four lanes. */
export function splat(value: f32): v128 {
  return f32x4.splat(value);
}

/** (a + c) + (b + d) */
export function sumOf(lanes: v128): f32 {
  const pairs = add(lanes, v128.shuffle<f32>(lanes, lanes, 2, 3, 2, 3));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/**
 * A constant in all four lanes, out of a table in memory. What the compiler knew as a constant it would build anew, in several
 * instructions, wherever it is used.
 */
export function constant(table: usize, index: usize): v128 {
  return v128.load32_splat(table + (index << 2));
}

/** a·x + b */
export function mulAdd(a: v128, x: v128, b: v128): v128 {
  return add(mul(a, x), b);
}

const EXP2: usize = memory.data<f32>([
  // 1.5 · 2^23: adding it rounds to an integer, which then lies in the low bits.
  12582912,
  // Coefficients of 2^f on [−½, ½], relative error 2e-9 (least squares, reweighted towards the minimax).
  1, 0.6931472028619418, 0.2402264791318035, 0.05550332454912815, 0.009618437359163949, 0.0013398881232400519,
  0.0001535337764856399,
]);

/** 2^x for −126 ≤ x ≤ 127. */
export function exp2(x: v128): v128 {
  const magic = constant(EXP2, 0);
  const shifted = add(x, magic);
  const rest = sub(x, sub(shifted, magic));
  let power = mulAdd(constant(EXP2, 7), rest, constant(EXP2, 6));
  power = mulAdd(power, rest, constant(EXP2, 5));
  power = mulAdd(power, rest, constant(EXP2, 4));
  power = mulAdd(power, rest, constant(EXP2, 3));
  power = mulAdd(power, rest, constant(EXP2, 2));
  power = mulAdd(power, rest, constant(EXP2, 1));
  return i32x4.add(power, i32x4.shl(shifted, 23));
}
