/** A model's layers as a table. Pure. */
import type { LayerDescription, ModelDescription } from '@coord/engine';
import { formatCount, formatTable, plural } from './format.js';

const UNITS = ['FLOPs', 'kFLOPs', 'MFLOPs', 'GFLOPs', 'TFLOPs'];

/** Three digits and a unit. */
export function formatFlops(flops: number): string {
  const unit = flops < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(flops) / 3));
  const value = flops / 1000 ** unit;
  return `${Number.isInteger(value) ? value : value.toPrecision(3)} ${UNITS[unit]}`;
}

const shapeText = (shape: readonly (number | null)[]): string => `[${shape.map((extent) => extent ?? '?').join(', ')}]`;

const countText = (count: number | null): string => (count === null ? '?' : count === 0 ? '–' : formatCount(count));

function rowOf({ name, className, outputShapes, parameters, flops }: LayerDescription): string[] {
  const shapes = [...new Set(outputShapes.map(shapeText))].join(' ');
  return [name, className, shapes, countText(parameters), countText(flops)];
}

export const layerTable = ({ layers }: ModelDescription): string =>
  formatTable(['layer', 'class', 'output', 'parameters', 'FLOPs'], layers.map(rowOf));

/** `93,322 parameters, 10.1 MFLOPs forward a sample`. */
export function totalText({ parameters, trainableParameters, flops }: ModelDescription): string {
  const frozen = parameters - trainableParameters;
  const counted = plural(parameters, 'parameter') + (frozen > 0 ? ` (${formatCount(frozen)} not trained)` : '');
  return flops === null ? counted : `${counted}, ${formatFlops(flops)} forward a sample`;
}
