/** What each engine is and how one gets it: read by `coord doctor`, by errors and by people. */
import type { EngineName } from '@coord/protocol';

/** An engine itself, not the choice of one. */
export type ConcreteEngine = Exclude<EngineName, 'auto'>;

export interface EngineGuide {
  readonly computesOn: string;
  /** What to do where it does not work, as one sentence. */
  readonly howToGet: string;
}

const GPU_DRIVER =
  "install the GPU's driver (on Linux with its Vulkan part, and libvulkan1), and let this process open the device";
const tfjsNode = (name: string, needs: string): string =>
  `Run \`npm install @tensorflow/${name}@4.22.0 --ignore-scripts=false\`, which downloads TensorFlow from outside the npm registry${needs}.`;

export const ENGINE_GUIDES: Readonly<Record<ConcreteEngine, EngineGuide>> = {
  ort: {
    computesOn: 'CPU, compiled',
    howToGet:
      'Its library comes with the npm package onnxruntime-node for Linux x64 and arm64, macOS arm64, Windows x64 and arm64; run `npm ci` again, or use tfjs-node elsewhere.',
  },
  'ort-webgpu': {
    computesOn: 'GPU through Vulkan, Metal or Direct3D 12, compiled',
    howToGet: `Its library comes with onnxruntime-node; ${GPU_DRIVER}.`,
  },
  'ort-cuda': {
    computesOn: 'NVIDIA GPU through CUDA, compiled',
    howToGet:
      'On Linux x64, install CUDA 12 and cuDNN 9, then run `npm rebuild onnxruntime-node --ignore-scripts=false`, which downloads from outside the npm registry.',
  },
  'tfjs-node-gpu': {
    computesOn: 'NVIDIA GPU through TensorFlow, eager',
    howToGet: tfjsNode('tfjs-node-gpu', ' and needs CUDA 11.2 and cuDNN 8'),
  },
  'tfjs-node': { computesOn: 'CPU through TensorFlow, eager', howToGet: tfjsNode('tfjs-node', '') },
  'tfjs-webgpu': {
    computesOn: 'GPU through Vulkan, Metal or Direct3D 12, eager',
    howToGet: `Run \`npm ci\` without --omit=optional, for the npm packages webgpu and @tensorflow/tfjs-backend-webgpu; ${GPU_DRIVER}.`,
  },
  'tfjs-cpu': {
    computesOn: 'CPU in JavaScript, the slow reference',
    howToGet: 'It is part of coord and always works; run `npm ci` again.',
  },
};

export const CONCRETE_ENGINES = Object.keys(ENGINE_GUIDES) as readonly ConcreteEngine[];
