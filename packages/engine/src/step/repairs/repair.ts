/** Layers whose own `call` tfjs cannot train (or not right), and how both engines compute them instead. */
import type * as tfl from '@tensorflow/tfjs-layers';

type Call = tfl.layers.Layer['call'];

/**
 * @param own the layer's own `call`.
 * @returns what to call instead; undefined where the layer needs no repair as it is configured.
 */
export type Repair = (layer: tfl.layers.Layer, own: Call) => Call | undefined;

/** Runs `work` while some properties of an object have other values. */
export function withProperties<Result>(target: object, values: Record<string, unknown>, work: () => Result): Result {
  const record = target as Record<string, unknown>;
  const before = Object.keys(values).map((key): [string, unknown] => [key, record[key]]);
  Object.assign(record, values);
  try {
    return work();
  } finally {
    for (const [key, value] of before) record[key] = value;
  }
}
