/** Execution providers: the devices that ONNX Runtime computes on. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { OnnxBuilder } from '../onnx/builder.js';
import { OrtProgram, type OrtSessionOptions } from './session.js';

export type OrtProvider = NonNullable<OrtSessionOptions['provider']>;

/** Runs one addition, so that a missing library or device is known before a model is compiled. @throws CoordError ENGINE_FAILED */
export async function requireProvider(provider: OrtProvider): Promise<void> {
  const onnx = new OnnxBuilder();
  const x = onnx.input('x', 'float32', [4]);
  onnx.output('y', 'float32', [4], onnx.op('Add', [x, x]));
  const program = await OrtProgram.create({ bytes: onnx.build() }, { threads: 1, provider });
  program.input('x').fill(21);
  await program.run();
  const sum = program.output('y')[0];
  program.dispose();
  if (sum !== 42) throw new Error(`ONNX Runtime's ${provider} provider computes 21 + 21 = ${sum}`);
}

/** Whether the library of the CUDA provider lies where ONNX Runtime looks for it; its npm package comes without. */
export function hasCudaLibrary(): boolean {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const folder = join(root, 'bin', 'napi-v6', process.platform, process.arch);
  return existsSync(join(folder, 'libonnxruntime_providers_cuda.so'));
}
