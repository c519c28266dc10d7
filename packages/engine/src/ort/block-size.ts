/**
 * ONNX Runtime's blocked layout is internal to it: the block depends on the processor (16 floats with AVX-512, 8 with AVX2),
 * and other processors have none. So it is measured, and a convolution in it is compared with a plain one, before it is used.
 */
import { BLOCKED, OnnxBuilder } from '../onnx/builder.js';
import { OrtProgram } from './session.js';

const CHANNELS = 32;
const TOLERANCE = 1e-4;

/** Channels a block, or undefined when the layout is missing or wrong here. */
export async function probeBlockSize(): Promise<number | undefined> {
  try {
    const block = await measureBlock();
    return block > 1 && (await agreesWithPlain(block)) ? block : undefined;
  } catch {
    return undefined;
  }
}

/** Reorders an image of two pixels: channels of one pixel stay adjacent (two apart in the source) within a block. */
async function measureBlock(): Promise<number> {
  const onnx = new OnnxBuilder();
  const dims = [1, CHANNELS, 1, 2];
  onnx.output('y', 'float32', dims, onnx.op('ReorderInput', [onnx.input('x', 'float32', dims)], {}, BLOCKED));
  const program = await programOf(onnx);
  program.input('x').forEach((_, index, x) => {
    x[index] = index;
  });
  await program.run();
  const y = program.output('y');
  let block = 1;
  while (block < CHANNELS && y[block] === y[block - 1] + 2) block++;
  program.dispose();
  return CHANNELS % block === 0 ? block : 1;
}

/** A 1×1 convolution with a diagonal filter, blocked, must give the scaled input back. */
async function agreesWithPlain(block: number): Promise<boolean> {
  const onnx = new OnnxBuilder();
  const dims = [1, block, 3, 3];
  const diagonal = Array.from({ length: block * block }, (_, index) => (index % (block + 1) === 0 ? 2 : 0));
  const filter = onnx.constant('float32', diagonal, [block, block, 1, 1]);
  const source = onnx.op('ReorderInput', [onnx.input('x', 'float32', dims)], {}, BLOCKED);
  const product = onnx.op('Conv', [source, filter], { kernel_shape: [1, 1] }, BLOCKED);
  onnx.output('y', 'float32', dims, onnx.op('ReorderOutput', [product], { channels: block }, BLOCKED));
  const program = await programOf(onnx);
  program.input('x').forEach((_, index, x) => {
    x[index] = Math.sin(index);
  });
  await program.run();
  const x = program.input('x');
  const agrees = program.output('y').every((value, index) => Math.abs(value - 2 * x[index]) < TOLERANCE);
  program.dispose();
  return agrees;
}

const programOf = (onnx: OnnxBuilder): Promise<OrtProgram> =>
  OrtProgram.create({ bytes: onnx.build() }, { threads: 1 });
