import type { RunSpec } from '@coord/protocol';
import type { StepSpec } from './engine.js';

/** What an engine must know of a run. */
export function stepSpecOf({ model, loss, metrics, data, seed }: RunSpec): StepSpec {
  const ofRole = (role: 'input' | 'target' | 'weight') => data.fields.filter((field) => field.role === role);
  return {
    topology: model.topology,
    loss,
    metrics,
    inputs: ofRole('input'),
    targets: ofRole('target'),
    isWeighted: ofRole('weight').length > 0,
    seed,
  };
}
