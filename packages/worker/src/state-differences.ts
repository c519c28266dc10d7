/** Evidence: where two states of one layout differ, by parameter and optimizer slot. */
import { type ArrayDifference, type Layout, type TrainingState, viewOf } from '@coord/protocol';

/** @param found the state under suspicion. @param expected the one that it is replaced by. */
export function differencesBetween(found: TrainingState, expected: TrainingState): ArrayDifference[] {
  const { layout } = expected;
  const slots = [...expected.slots].flatMap(([slot, values]) =>
    inFlat(layout, `${slot} `, found.slots.get(slot) ?? new Float32Array(values.length), values),
  );
  const exponents = compare('exponents', found.exponents, expected.exponents, found.exponents, expected.exponents);
  return [...inFlat(layout, '', found.weights, expected.weights), ...slots, ...exponents];
}

function inFlat(layout: Layout, prefix: string, found: Float32Array, expected: Float32Array): ArrayDifference[] {
  return layout.parameters.flatMap((parameter) => {
    const [ours, theirs] = [viewOf(parameter, found), viewOf(parameter, expected)];
    return compare(`${prefix}${parameter.name}`, bitsOf(ours), bitsOf(theirs), ours, theirs);
  });
}

function compare(
  name: string,
  foundBits: ArrayLike<number>,
  expectedBits: ArrayLike<number>,
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
): ArrayDifference[] {
  let count = 0;
  let firstIndex = -1;
  for (let index = 0; index < expectedBits.length; index++) {
    if (foundBits[index] === expectedBits[index]) continue;
    if (count++ === 0) firstIndex = index;
  }
  if (count === 0) return [];
  return [{ name, count, firstIndex, found: String(found[firstIndex]), expected: String(expected[firstIndex]) }];
}

const bitsOf = (values: Float32Array): Int32Array => new Int32Array(values.buffer, values.byteOffset, values.length);
