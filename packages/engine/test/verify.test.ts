import { describe, expect, it } from 'vitest';
import { OnnxBuilder } from '../src/onnx/builder.js';
import { OrtProgram } from '../src/ort/session.js';
import { verifyOnCpu } from '../src/ort/verify.js';

/** y = x·x and the tiny z = x / 1e6, run once. */
async function ranProgram() {
  const onnx = new OnnxBuilder();
  const x = onnx.input('x', 'float32', [3]);
  const small = onnx.constant('float32', [1e-6], []);
  onnx.output('y', 'float32', [3], onnx.op('Mul', [x, x]));
  onnx.output('z', 'float32', [3], onnx.op('Mul', [x, small]));
  const model = { bytes: onnx.build(), inputs: onnx.inputs, outputs: onnx.outputs, operationCount: 3 };
  const program = await OrtProgram.create(model, { threads: 1 });
  program.input('x').set([1, 2, 3]);
  await program.run();
  return { model, program, verify: () => verifyOnCpu(model, program, (output) => `output ${output}`) };
}

describe('the second opinion on a GPU', () => {
  it('accepts equal values, and rounding errors in what is negligible', async () => {
    const { program, verify } = await ranProgram();
    await expect(verify()).resolves.toBeUndefined();
    program.output('z')[1] = 3e-6;
    await expect(verify()).resolves.toBeUndefined();
  });

  it.each([
    ['another value', 6],
    ['not a number', Number.NaN],
  ])('refuses %s and names the output', async (_, wrong) => {
    const { program, verify } = await ranProgram();
    program.output('y')[1] = wrong;
    await expect(verify()).rejects.toMatchObject({
      code: 'ENGINE_FAILED',
      message: expect.stringContaining('computes output y wrong on this GPU'),
      hint: expect.stringContaining('engine: ort'),
    });
  });
});
