/** Where a key or a value stands in a YAML document. */
import { type Document, isMap, isNode, isScalar, isSeq, type LineCounter, type Pair } from 'yaml';
import type { Path } from './problem.js';

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface LocatedDocument {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

interface Step {
  readonly key: unknown;
  readonly value: unknown;
}

function child(node: unknown, key: PropertyKey): Step | undefined {
  if (isMap(node)) {
    const pair = node.items.find((item: Pair) => isScalar(item.key) && String(item.key.value) === String(key));
    return pair && { key: pair.key, value: pair.value };
  }
  if (isSeq(node) && typeof key === 'number') return { key: node.items[key], value: node.items[key] };
  return undefined;
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

/** Whether the document itself has something at `path`. */
export function stands(source: LocatedDocument, path: Path): boolean {
  let step: Step | undefined = { key: undefined, value: source.document.contents };
  for (const key of path) step = step && child(step.value, key);
  return step !== undefined;
}

/** Position of the value at `path`, of its key, or, where it is missing, of the nearest key around it. */
export function positionOf(source: LocatedDocument, path: Path, at: 'key' | 'value' | 'missing'): Position {
  let step: Step = { key: undefined, value: source.document.contents };
  for (const key of path) {
    const next = child(step.value, key);
    if (!next) return toPosition(source.lines, offsetOf(step.key));
    step = next;
  }
  const value = at === 'value' ? offsetOf(step.value) : undefined;
  return toPosition(source.lines, value ?? offsetOf(step.key));
}

export function toPosition(lines: LineCounter, offset = 0): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}
