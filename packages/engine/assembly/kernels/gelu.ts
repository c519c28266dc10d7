/** The gradient of x · Φ(x), Φ the normal distribution: dy · (Φ(x) + x · φ(x)). */
import { add, constant, exp2, mul, mulAdd, sub } from './vectors';

const TABLE: usize = memory.data<f32>([
  // Φ(−|x|) ≈ e^(−x²/2) · t · (a0 + a1·t + … + a5·t⁵) with t = 1 / (1 + p·|x|), absolute error 5e-9 (form of Hastings, M. Abramowitz
  // and I. Stegun, 7.1.26; coefficients by least squares, reweighted towards the minimax).
  0.11780925089700166,
  0.04211149551991902, 0.3339322594532321, -0.33099337300175125, 0.451998702197153, -0.11485833034570933,
  // p, ½, 1
  0.275, 0.5, 1,
  // −½ · log2 e; 1/√(2π); the least exponent, from which on e^(−x²/2) is 0, so that nothing is a denormal.
  -0.7213475204444817, 0.3989422804014327, -100,
]);

function slope(x: v128): v128 {
  const exponent = mul(mul(x, x), constant(TABLE, 9));
  const least = constant(TABLE, 11);
  const power = v128.and(exp2(f32x4.pmax(exponent, least)), f32x4.gt(exponent, least));
  const t = f32x4.div(constant(TABLE, 8), mulAdd(f32x4.abs(x), constant(TABLE, 6), constant(TABLE, 8)));
  let tail = mulAdd(constant(TABLE, 5), t, constant(TABLE, 4));
  tail = mulAdd(tail, t, constant(TABLE, 3));
  tail = mulAdd(tail, t, constant(TABLE, 2));
  tail = mulAdd(tail, t, constant(TABLE, 1));
  tail = mulAdd(tail, t, constant(TABLE, 0));
  // Φ(x) is ½ ± (½ − Φ(−|x|)), with the sign of x.
  const beyondHalf = sub(constant(TABLE, 7), mul(mul(tail, t), power));
  const signed = v128.bitselect(x, beyondHalf, i32x4.splat(0x80000000));
  return add(add(constant(TABLE, 7), signed), mul(mul(x, power), constant(TABLE, 10)));
}

/** `sums`: of each column of dx. `band`: columns that lie together, see `index.ts`. */
export function geluGradient(
  x: usize,
  dy: usize,
  dx: usize,
  sums: usize,
  rows: usize,
  width: usize,
  band: usize,
): void {
  memory.fill(sums, 0, width << 2);
  const bytes = band << 2;
  for (let end = sums + (width << 2); sums < end; sums += bytes) {
    for (let row: usize = 0; row < rows; row++) {
      for (let at: usize = 0; at < bytes; at += 16) {
        const product = mul(slope(v128.load(x + at)), v128.load(dy + at));
        v128.store(dx + at, product);
        v128.store(sums + at, add(v128.load(sums + at), product));
      }
      x += bytes;
      dy += bytes;
      dx += bytes;
    }
  }
}
