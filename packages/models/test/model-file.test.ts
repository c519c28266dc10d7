import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModelFile } from '../src/file/load-model-file.js';
import { createModel } from '../src/registry.js';
import { modelFromTopology, topologyOf } from '../src/topology.js';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coord-model-'));
});

afterAll(() => rm(directory, { recursive: true }));

async function written(name: string, text: string | Uint8Array): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

const weightNames = (topology: string) =>
  modelFromTopology(topology, { initialise: false }).weights.map((weight) => [weight.originalName, weight.shape]);

const TYPESCRIPT = `
import * as tf from '@tensorflow/tfjs';
import { layers } from '@coord/models';

interface Options { readonly units?: number }
enum Size { Small = 3 }

export default async function build({ units = Size.Small }: Options): Promise<tf.LayersModel> {
  const input = tf.input({ shape: [4, 6] });
  const mixed = new layers.MultiHeadAttention({ heads: 2, keyDepth: 3 }).apply([input, input]) as tf.SymbolicTensor;
  const flat = tf.layers.flatten().apply(mixed) as tf.SymbolicTensor;
  return tf.model({ inputs: input, outputs: tf.layers.dense({ units }).apply(flat) as tf.SymbolicTensor });
}
`;

describe('a model from a TypeScript module', () => {
  it('is what its function returns, wherever the file lies', async () => {
    const path = await written('mixer.ts', TYPESCRIPT);
    const { name, topology, weights } = await loadModelFile(path, { units: 5 });
    expect(name).toBe('mixer');
    expect(weights).toBeUndefined();
    expect(weightNames(topology).at(-1)).toEqual(['dense_Dense1/bias', [5]]);
  });

  it('has the same names whatever the process has built before', async () => {
    const path = await written('again.ts', TYPESCRIPT);
    const first = await loadModelFile(path, {});
    tfl.layers.dense({ units: 1 });
    expect(await loadModelFile(path, {})).toEqual(first);
  });
});

it('a JavaScript module may build on the library', async () => {
  const text = `import { createModel } from '@coord/models';\nexport default (options) => createModel('mlp', options);\n`;
  const { topology } = await loadModelFile(await written('own.mjs', text), { classes: 7 });
  expect(weightNames(topology)).toEqual(weightNames(topologyOf(createModel('mlp', { classes: 7 }))));
});

const OWN_LAYER = `
import * as tf from '@tensorflow/tfjs';
class Doubled extends tf.layers.Layer {
  static className = 'Doubled';
  call(x) { return tf.mul(Array.isArray(x) ? x[0] : x, 2); }
}
tf.serialization.registerClass(Doubled);
export default () => tf.sequential({ layers: [new Doubled({ name: 'twice', inputShape: [3] })] });
`;

describe('a model file is refused with its path and the reason', () => {
  it.each([
    ['nothing.ts', undefined, /there is no model file/],
    ['model.py', 'print()', /cannot be read from a file of this kind/],
    ['broken.ts', 'export default () => {', /cannot be loaded/],
    ['number.ts', 'export default 3;', /default export is no function/],
    ['throws.ts', 'export default () => { throw new Error("no units"); };', /its function failed: no units/],
    ['text.ts', 'export default () => "model";', /returned no tf.layers model/],
    ['layer.js', OWN_LAYER, /layer "twice" is of class Doubled, which no worker knows/],
    ['text.json', 'model', /not JSON/],
    ['empty.json', '{}', /needs "class_name"/],
    [
      'manifest.json',
      '{"modelTopology":{"class_name":"Sequential","config":{}},"weightsManifest":3}',
      /weightsManifest/,
    ],
    [
      'outside.json',
      '{"modelTopology":{"class_name":"Sequential","config":{"layers":[]}},"weightsManifest":[{"paths":["../x"],"weights":[]}]}',
      /outside its directory/,
    ],
  ] as const)('%s', async (name, text, message) => {
    const path = text === undefined ? join(directory, name) : await written(name, text);
    const failure = loadModelFile(path, {});
    await expect(failure).rejects.toMatchObject({ code: 'MODEL_INVALID', message: expect.stringMatching(message) });
    await expect(failure).rejects.toThrow(path);
  });
});

describe('a model.json', () => {
  it('may be a topology alone', async () => {
    const topology = topologyOf(createModel('mlp'));
    const path = await written('bare.json', topology);
    const read = await loadModelFile(path, {});
    expect(read.name).toBe('bare');
    expect(weightNames(read.topology)).toEqual(weightNames(topology));
    await expect(loadModelFile(path, { units: 3 })).rejects.toThrow(/takes no options/);
  });

  it('keeps the initializers that it names, and those that it leaves to their defaults', async () => {
    const initializersOf = (topology: string) => topology.match(/"[a-z]+_initializer":\{"class_name":"\w+"/g);
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 3, inputShape: [4], kernelInitializer: 'heNormal' }),
        tfl.layers.dense({ units: 2 }),
      ],
    });
    const { topology } = await loadModelFile(await written('initialised.json', topologyOf(model)), {});
    expect(initializersOf(topology)).toEqual(initializersOf(topologyOf(model)));
    const [kernel] = modelFromTopology(topology).weights;
    expect(new Set(kernel.read().dataSync()).size).toBeGreaterThan(1);
  });

  it.each([
    ['a layer that is not there', /"inbound_nodes":\[\[\["first"/, '"inbound_nodes":[[["frist"'],
    ['itself', /"inbound_nodes":\[\[\["first"/, '"inbound_nodes":[[["second"'],
    ['a call that nobody makes', /"inbound_nodes":\[\[\["first",0/, '"inbound_nodes":[[["first",1'],
  ])('is refused, not built for ever, when a layer refers to %s', async (_what, pattern, replacement) => {
    const input = tfl.input({ shape: [4] });
    const first = tfl.layers.dense({ units: 3, name: 'first' }).apply(input) as tf.SymbolicTensor;
    const second = tfl.layers.dense({ units: 2, name: 'second' }).apply(first) as tf.SymbolicTensor;
    const topology = topologyOf(tfl.model({ inputs: input, outputs: second })).replace(pattern, replacement);
    expect(() => modelFromTopology(topology)).toThrow(/refer to each other in a circle, or to a layer/);
    expect(() => modelFromTopology(topology, { initialise: false })).toThrow(/refer to each other in a circle/);
    const manifest = `{"modelTopology":${topology},"weightsManifest":[{"paths":["w.bin"],"weights":[]}]}`;
    const failure = loadModelFile(await written('circle.json', manifest), {});
    await expect(failure).rejects.toMatchObject({ code: 'MODEL_INVALID' });
  });

  it('is refused when it is deeper, or longer, than any model is', async () => {
    const deep = '['.repeat(50_000) + ']'.repeat(50_000);
    await expect(loadModelFile(await written('deep.json', deep), {})).rejects.toThrow(/more than 200 deep/);
    const long = ' '.repeat(17 * 1024 * 1024);
    await expect(loadModelFile(await written('long.json', long), {})).rejects.toThrow(/the limit is/);
    const twice =
      '{"modelTopology":{"class_name":"Sequential","config":{"layers":[]}},"weightsManifest":[{"paths":["x","./x"],"weights":[]}]}';
    await expect(loadModelFile(await written('twice.json', twice), {})).rejects.toThrow(
      /names a file of weights twice/,
    );
  });

  it('brings the weights that lie beside it', async () => {
    const model = createModel('mlp', { inputShape: [4], hidden: [3], classes: 2 });
    let artifacts: tf.io.ModelArtifacts | undefined;
    await model.save(
      tf.io.withSaveHandler(async (saved) => {
        artifacts = saved;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
    );
    const { modelTopology, weightSpecs, weightData } = artifacts as tf.io.ModelArtifacts;
    await written('weights.bin', new Uint8Array(weightData as ArrayBuffer));
    const manifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
    const path = await written('saved.json', JSON.stringify({ modelTopology, weightsManifest: manifest }));
    const { weights } = await loadModelFile(path, {});
    expect(weights).toEqual(model.weights.map((weight) => weight.read().dataSync()));
    await rm(join(directory, 'weights.bin'));
    await expect(loadModelFile(path, {})).rejects.toThrow(/weights cannot be read.*ENOENT/);
  });
});
