import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OnnxBuilder } from '../src/onnx/builder.js';
import { takeApart } from '../src/onnx/parts.js';
import { OrtProgram, TOO_LARGE_TO_OPTIMISE } from '../src/ort/session.js';

/** √|x| · 2 + 3 · 4, of which the last product is a constant. */
function model(): Uint8Array {
  const onnx = new OnnxBuilder();
  const x = onnx.input('x', 'float32', [4]);
  const scalar = (value: number) => onnx.constant('float32', [value], []);
  const root = onnx.op('Sqrt', [onnx.op('Abs', [x])]);
  const constant = onnx.op('Mul', [scalar(3), scalar(4)]);
  onnx.output('y', 'float32', [4], onnx.op('Add', [onnx.op('Mul', [root, scalar(2)]), constant]));
  return onnx.build();
}

async function typesAndResult(operationCount: number | undefined) {
  const folder = await mkdtemp(join(tmpdir(), 'coord-session-'));
  const optimisedModelFile = join(folder, 'model.onnx');
  try {
    const size = operationCount === undefined ? {} : { operationCount };
    const program = await OrtProgram.create({ bytes: model(), ...size }, { threads: 1, optimisedModelFile });
    program.input('x').set([1, -4, 9, 0]);
    await program.run();
    const types = takeApart(await readFile(optimisedModelFile)).nodes.map(({ type }) => type);
    const result = [...program.output('y')];
    program.dispose();
    return { types, result };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('a session', () => {
  it.each([undefined, TOO_LARGE_TO_OPTIMISE - 1])('optimises a model of %s operations', async (operationCount) => {
    const { types, result } = await typesAndResult(operationCount);
    expect(types.filter((type) => type === 'Mul')).toHaveLength(1);
    expect(result).toEqual([14, 16, 18, 12]);
  });

  it('runs a model as it is that is too large to optimise in a bearable time', async () => {
    const { types, result } = await typesAndResult(TOO_LARGE_TO_OPTIMISE);
    expect(types.filter((type) => type === 'Mul')).toHaveLength(2);
    expect(result).toEqual([14, 16, 18, 12]);
  });
});
