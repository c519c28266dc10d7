/** Weights for other programs: tfjs and everything that reads safetensors (Python, Rust …). */
import { dirname, join } from 'node:path';
import { errorText, makeDirectory, replaceDurably, writing } from '@coord/disk';
import { CoordError, type TrainingState } from '@coord/protocol';
import { encodeSafetensors } from './safetensors.js';
import { weightTensors } from './state-tensors.js';

const TFJS_MODEL = 'model.json';
const TFJS_WEIGHTS = 'group1-shard1of1.bin';

/**
 * Writes `model.json` and `group1-shard1of1.bin`, the tfjs layers format, which `tf.loadLayersModel` reads. Parameters must
 * bear the names of the model's weights. The model is written last.
 *
 * @param topologyJson `JSON.stringify(model.toJSON(null, false))`
 * @throws CoordError MODEL_INVALID when the topology is no JSON; CHECKPOINT_WRITE_FAILED
 */
export async function exportTfjs(state: TrainingState, topologyJson: string, outDir: string): Promise<void> {
  const model = {
    format: 'layers-model',
    generatedBy: 'coord',
    convertedBy: null,
    modelTopology: parseTopology(topologyJson),
    weightsManifest: [{ paths: [TFJS_WEIGHTS], weights: tfjsWeights(state) }],
  };
  const values = weightTensors(state).map(({ bytes }) => bytes);
  await writing(outDir, async () => {
    await makeDirectory(outDir);
    await replaceDurably(join(outDir, TFJS_WEIGHTS), values);
    await replaceDurably(join(outDir, TFJS_MODEL), [Buffer.from(JSON.stringify(model))]);
  });
}

const tfjsWeights = ({ layout }: TrainingState) =>
  layout.parameters.map(({ name, shape }) => ({ name, shape, dtype: 'float32' }));

function parseTopology(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CoordError('MODEL_INVALID', `the model's topology is no JSON: ${errorText(cause)}`, { cause });
  }
}

/** Writes the weights alone, one float32 tensor a parameter. @throws CoordError CHECKPOINT_WRITE_FAILED */
export async function exportSafetensors(state: TrainingState, file: string): Promise<void> {
  await writing(file, async () => {
    await makeDirectory(dirname(file));
    await replaceDurably(file, encodeSafetensors(weightTensors(state), { step: String(state.step) }));
  });
}
