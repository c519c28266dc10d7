/**
 * A second opinion on GPUs: ONNX Runtime's GPU providers are young, and some of their kernels compute wrong values for some
 * shapes. So the first run of every program on a GPU is repeated on the CPU, and must agree.
 */
import { CoordError } from '@coord/protocol';
import type { LoweredModel } from '../lower/lower.js';
import { MAX_GRADIENT_ERROR } from '../registry/tolerance.js';
import { type Elements, OrtProgram } from './session.js';

/** Outputs that are tiny beside the largest one may consist of rounding errors. */
const NEGLIGIBLE = 1e-3;

/**
 * @param program the same model on another provider, just run; its inputs must not have changed since.
 * @param describe what an output is, for the error
 * @throws CoordError ENGINE_FAILED when an output differs
 */
export async function verifyOnCpu(
  model: LoweredModel,
  program: OrtProgram,
  describe: (output: string) => string,
): Promise<void> {
  const reference = await OrtProgram.create(model, { threads: 1 });
  for (const name of reference.inputNames) reference.input(name).set(program.input(name));
  await reference.run();
  // A count jumps where a value moves a little.
  const outputs = model.outputs.map(({ name }) => name).filter((name) => name !== 'correct');
  const magnitudes = outputs.map((name) => largestIn(reference.output(name)));
  const floor = NEGLIGIBLE * Math.max(...magnitudes);
  outputs.forEach((name, index) => {
    const difference = largestDifference(reference.output(name), program.output(name));
    const error = difference / Math.max(magnitudes[index], floor, Number.MIN_VALUE);
    if (!(error <= MAX_GRADIENT_ERROR)) throw disagreement(describe(name), error);
  });
  reference.dispose();
}

const largestIn = (values: Elements): number => {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest;
};

/** NaN where either is none; `Math.max` keeps it. */
function largestDifference(expected: Elements, actual: Elements): number {
  let largest = 0;
  for (let at = 0; at < expected.length; at++) largest = Math.max(largest, Math.abs(expected[at] - actual[at]));
  return largest;
}

const disagreement = (output: string, error: number): CoordError =>
  new CoordError(
    'ENGINE_FAILED',
    `ONNX Runtime computes ${output} wrong on this GPU: it is off by ${error.toPrecision(2)}`,
    {
      hint: 'Use engine: ort, or engine: tfjs-webgpu, on this machine; a worker chooses with --engine.',
      facts: { output, error },
    },
  );
