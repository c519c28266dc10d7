/** Training state ↔ named tensors: the state's flat buffers cut into parameters, without padding. */
import {
  createLayout,
  type Layout,
  type Parameter,
  type ParameterSpec,
  type TrainingState,
  viewOf,
} from '@coord/protocol';
import { corrupt } from './corrupt.js';
import type { Dtype, Tensor } from './safetensors.js';

const EXPONENTS = 'exponents';

const bytesOf = (array: Float32Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const slotTensorName = (slot: string, parameter: Parameter): string => `${slot}/${parameter.name}`;

function tensorsOf(flat: Float32Array, layout: Layout, nameOf: (parameter: Parameter) => string): Tensor[] {
  return layout.parameters.map((parameter) => ({
    name: nameOf(parameter),
    dtype: 'F32',
    shape: parameter.shape,
    bytes: bytesOf(viewOf(parameter, flat)),
  }));
}

export const weightTensors = ({ weights, layout }: TrainingState): Tensor[] =>
  tensorsOf(weights, layout, ({ name }) => name);

export function optimizerTensors({ slots, exponents, layout }: TrainingState): Tensor[] {
  return [
    ...[...slots].flatMap(([slot, flat]) => tensorsOf(flat, layout, (parameter) => slotTensorName(slot, parameter))),
    { name: EXPONENTS, dtype: 'U8', shape: [exponents.length], bytes: bytesOf(exponents) },
  ];
}

/** One file's tensors on their way into a state; each is taken once, and at the end none may be left. */
export interface TensorSource {
  readonly tensors: Map<string, Tensor>;
  readonly file: string;
}

export interface StateParts {
  readonly step: number;
  readonly parameters: readonly ParameterSpec[];
  readonly slots: readonly string[];
  readonly weightsSource: TensorSource;
  readonly optimizerSource: TensorSource;
}

/** @throws CoordError CHECKPOINT_CORRUPT when a tensor is missing, of another dtype or shape, or too many. */
export function assembleState({ step, parameters, slots, weightsSource, optimizerSource }: StateParts): TrainingState {
  const layout = createLayout(parameters);
  const weights = fillFlat(layout, weightsSource, ({ name }) => name);
  const slotEntries = slots.map((slot): [string, Float32Array] => [
    slot,
    fillFlat(layout, optimizerSource, (parameter) => slotTensorName(slot, parameter)),
  ]);
  const exponents = Uint8Array.from(take(optimizerSource, EXPONENTS, 'U8', [layout.blockCount]).bytes);
  for (const source of [weightsSource, optimizerSource]) requireAllTaken(source);
  return { step, layout, weights, slots: new Map(slotEntries), exponents };
}

function fillFlat(layout: Layout, source: TensorSource, nameOf: (parameter: Parameter) => string): Float32Array {
  const taken = layout.parameters.map((parameter) => take(source, nameOf(parameter), 'F32', parameter.shape));
  const flat = new Float32Array(layout.totalSize);
  layout.parameters.forEach((parameter, index) => {
    bytesOf(viewOf(parameter, flat)).set(taken[index].bytes);
  });
  return flat;
}

function take({ tensors, file }: TensorSource, name: string, dtype: Dtype, shape: readonly number[]): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw corrupt(file, `tensor ${name} is missing`);
  const [found, expected] = [tensor, { dtype, shape }].map((one) => `${one.dtype} [${one.shape.join(', ')}]`);
  if (found !== expected) throw corrupt(file, `tensor ${name} is ${found}, not the ${expected} of its manifest`);
  tensors.delete(name);
  return tensor;
}

function requireAllTaken({ tensors, file }: TensorSource): void {
  const [unknown] = tensors.keys();
  if (unknown !== undefined) throw corrupt(file, `its manifest does not know tensor ${unknown}`);
}
