/**
 * The buffers of a segmented program. What kernels of ours touch lies in one WebAssembly memory; what only sessions hand to
 * one another lies in one array. In both, values share places where they do not live at the same time. The rest lies where the
 * caller wants it, or on its own.
 */
import { sizeOfShape } from '@coord/protocol';
import { KERNEL_BYTES } from '../kernels/wasm.js';
import type { TensorInfo } from '../onnx/builder.js';
import { type Lifetime, planMemory } from '../segments/memory-plan.js';
import { ARRAYS, type Storage, type TensorArray } from './session.js';

export interface HeldValue extends TensorInfo {
  /** A kernel of ours reads or writes it. */
  readonly isOwn: boolean;
  /** Segments that it lives in; undefined where it lives from run to run. */
  readonly life?: { readonly first: number; readonly last: number } | undefined;
}

export interface ProgramBuffers {
  readonly byName: ReadonlyMap<string, TensorArray>;
  readonly memory: WebAssembly.Memory;
}

const PAGE_BYTES = 65_536;

/** @param storage where the caller wants values that no kernel of ours touches. */
export function allocateBuffers(values: readonly HeldValue[], storage: Storage): ProgramBuffers {
  const own = values.filter(({ isOwn }) => isOwn);
  const passing = values.filter(({ name, isOwn, life }) => !isOwn && life && !storage[name]);
  const rest = values.filter((value) => !own.includes(value) && !passing.includes(value));
  const ownPlan = planMemory(own.map(lifetimeOf), KERNEL_BYTES);
  const pages = Math.ceil(ownPlan.bytes / PAGE_BYTES);
  // Growing would detach the views, so it cannot grow.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const passingPlan = planMemory(passing.map(lifetimeOf));
  const array = new ArrayBuffer(passingPlan.bytes);
  const byName = new Map<string, TensorArray>([
    ...own.map((value) => [value.name, viewOf(value, memory.buffer, ownPlan.offsets)] as const),
    ...passing.map((value) => [value.name, viewOf(value, array, passingPlan.offsets)] as const),
    ...rest.map(({ name, type, dims }) => [name, storage[name] ?? new ARRAYS[type](sizeOfShape(dims))] as const),
  ]);
  return { byName, memory };
}

const lifetimeOf = ({ name, type, dims, life }: HeldValue): Lifetime => ({
  name,
  bytes: sizeOfShape(dims) * ARRAYS[type].BYTES_PER_ELEMENT,
  ...(life ?? { first: Number.NEGATIVE_INFINITY, last: Number.POSITIVE_INFINITY }),
});

const viewOf = (
  { name, type, dims }: HeldValue,
  buffer: ArrayBuffer,
  offsets: ReadonlyMap<string, number>,
): TensorArray => new ARRAYS[type](buffer, offsets.get(name), sizeOfShape(dims));
