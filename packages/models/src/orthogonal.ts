/**
 * The orthogonal initializer, the default of recurrent kernels. That of tfjs 4.22 calls methods that tensors only have where
 * the whole of tfjs is loaded, and factorises with tensors, which takes seconds for a usual layer; this one computes on numbers.
 * Source: A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';

interface Orthogonal {
  readonly gain: number;
  readonly seed?: number;
}

/** Random numbers [rows, columns], columns ≤ rows, → orthonormal columns, by Gram and Schmidt; twice, against rounding. */
function orthonormal(values: Float32Array, rows: number, columns: number): Float64Array[] {
  const basis: Float64Array[] = [];
  for (let column = 0; column < columns; column++) {
    const vector = Float64Array.from({ length: rows }, (_, row) => values[row * columns + column]);
    for (const other of [...basis, ...basis]) subtractProjection(vector, other);
    const length = Math.sqrt(dot(vector, vector));
    basis.push(vector.map((value) => value / length));
  }
  return basis;
}

function subtractProjection(vector: Float64Array, other: Float64Array): void {
  const share = dot(vector, other);
  for (let row = 0; row < vector.length; row++) vector[row] -= share * other[row];
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let row = 0; row < a.length; row++) sum += a[row] * b[row];
  return sum;
}

function apply(this: Orthogonal, shape: number[]): tf.Tensor {
  if (shape.length < 2) throw new Error('an orthogonal initializer needs at least two axes');
  const [height, width] = [tf.util.sizeFromShape(shape.slice(0, -1)), shape[shape.length - 1]];
  const [rows, columns] = [Math.max(height, width), Math.min(height, width)];
  const normal = tf.tidy(() => tf.randomNormal([rows, columns], 0, 1, 'float32', this.seed).dataSync<'float32'>());
  const basis = orthonormal(normal, rows, columns);
  const values = new Float32Array(rows * columns);
  for (let at = 0; at < values.length; at++) {
    const [row, column] = [Math.floor(at / width), at % width];
    values[at] = this.gain * (height < width ? basis[row][column] : basis[column][row]);
  }
  return tf.tensor(values, shape);
}

const [orthogonal] = tf.serialization.SerializationMap.getMap().classNameMap.Orthogonal;
// In place, so that `initializers.orthogonal()` has it too.
(orthogonal.prototype as unknown as { apply: typeof apply }).apply = apply;
