/** Whether a model fits the samples that it is to see: better said here, by key, than by a worker in the middle of a trace. */
import { CoordError, type DatasetManifest, type Field, type LossSpec, OUTPUT_KINDS } from '@coord/protocol';

/** Shapes without the batch axis; null stands for any length. */
export interface ModelShapes {
  readonly inputs: readonly (readonly (number | null)[])[];
  readonly outputs: readonly (readonly (number | null)[])[];
}

const shapeText = (shape: readonly (number | null)[]): string => `[${shape.map((size) => size ?? 'any').join(', ')}]`;

const fits = (shape: readonly (number | null)[], wanted: readonly number[]): boolean =>
  shape.length === wanted.length && shape.every((size, axis) => size === null || size === wanted[axis]);

/** @throws CoordError CONFIG_INVALID naming what the model takes, what the data has, and the keys to change. */
export function requireFit(
  model: ModelShapes,
  modelName: string,
  data: DatasetManifest,
  losses: readonly LossSpec[],
): void {
  const inputs = data.fields.filter((field) => field.role === 'input');
  if (inputs.length !== model.inputs.length) {
    throw misfit(
      `model ${modelName} takes ${model.inputs.length} inputs; samples of ${data.name} have ${inputs.length}`,
    );
  }
  inputs.forEach((field, index) => {
    requireInput(model.inputs[index], field, modelName, data);
  });
  const targets = data.fields.filter((field) => field.role === 'target');
  if (targets.length !== model.outputs.length) {
    throw misfit(
      `model ${modelName} has ${model.outputs.length} outputs; samples of ${data.name} have ${targets.length} targets`,
    );
  }
  targets.forEach((target, output) => {
    if (OUTPUT_KINDS[losses[output].name] === 'classes') requireClasses(model.outputs[output], target, modelName, data);
  });
}

function requireInput(shape: readonly (number | null)[], field: Field, modelName: string, data: DatasetManifest): void {
  if (fits(shape, field.shape)) return;
  throw misfit(
    `model ${modelName} takes inputs of shape ${shapeText(shape)}; samples of ${data.name} have ${shapeText(field.shape)}`,
  );
}

/** More outputs than classes only waste work; fewer would leave labels without an output. */
function requireClasses(
  output: readonly (number | null)[],
  target: Field,
  modelName: string,
  data: DatasetManifest,
): void {
  const units = output.at(-1);
  const classes = target.classes ?? data.classes;
  if (classes === undefined || typeof units !== 'number' || units >= classes) return;
  throw misfit(`model ${modelName} has ${units} outputs; ${data.name} has ${classes} classes`);
}

const misfit = (message: string): CoordError =>
  new CoordError('CONFIG_INVALID', `model and data do not fit: ${message}`, {
    hint: 'Change the options under `model` (inputShape, classes, length, vocabulary …) or those under `data`.',
  });
