/** Other programs read what we write. Skipped where there is no Python with numpy. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { viewOf } from '@coord/protocol';
import { expect, it } from 'vitest';
import { exportSafetensors, saveCheckpoint } from '../src/index.js';
import { infoOfStep, stateOfStep } from './children/states.mjs';
import { scratch } from './scratch.js';

/** A reader after the format's description; the safetensors package itself where it is installed. */
const READER = `
import json, struct, sys
import numpy as np

def read(file):
    try:
        from safetensors.numpy import load_file
        return load_file(file)
    except ImportError:
        data = open(file, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header, data = json.loads(data[8:8 + length]), data[8 + length:]
    header.pop("__metadata__", None)
    dtypes = {"F32": "<f4", "U8": "u1"}
    place = lambda entry: data[slice(*entry["data_offsets"])]
    return {name: np.frombuffer(place(e), dtypes[e["dtype"]]).reshape(e["shape"]) for name, e in header.items()}

tensors = read(sys.argv[1])
print(json.dumps({n: {"shape": t.shape, "dtype": str(t.dtype), "values": t.ravel().tolist()} for n, t in tensors.items()}))
`;

type Read = Record<string, { shape: number[]; dtype: string; values: number[] }>;

const hasNumpy = (python: string): boolean => {
  try {
    execFileSync(python, ['-c', 'import numpy'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const python = ['python3', '/usr/bin/python3'].find(hasNumpy);
const readInPython = (file: string): Read =>
  JSON.parse(execFileSync(python!, ['-c', READER, file], { encoding: 'utf8', maxBuffer: 1 << 26 }));

const title = python ? '' : ' (skipped: no python3 with numpy here)';

it.skipIf(!python)(`Python reads the same weights, slots and exponents${title}`, async () => {
  const runDir = await scratch();
  const state = stateOfStep(12);
  const { path } = await saveCheckpoint(runDir, state, infoOfStep(12), { keepLast: 1 });
  const weights = readInPython(join(path, 'weights.safetensors'));
  expect(Object.keys(weights).sort()).toEqual(state.layout.parameters.map(({ name }) => name).sort());
  for (const parameter of state.layout.parameters) {
    const values = [...viewOf(parameter, state.weights)];
    expect(weights[parameter.name]).toEqual({ shape: [...parameter.shape], dtype: 'float32', values });
  }
  const optimizer = readInPython(join(path, 'optimizer.safetensors'));
  const [kernel] = state.layout.parameters;
  expect(optimizer['firstMoment/dense/kernel'].values).toEqual([...viewOf(kernel, state.slots.get('firstMoment')!)]);
  expect(optimizer.exponents).toMatchObject({ dtype: 'uint8', values: [...state.exponents] });
});

it.skipIf(!python)(`Python reads an export${title}`, async () => {
  const file = join(await scratch(), 'out', 'model.safetensors');
  const state = stateOfStep(3);
  await exportSafetensors(state, file);
  await exportSafetensors(state, file);
  const kernel = state.layout.parameters[0];
  expect(readInPython(file)[kernel.name].values).toEqual([...viewOf(kernel, state.weights)]);
});
