/**
 * The machine's GPU as WebGPU shows it, through Dawn in the optional npm package `webgpu`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { importOptional } from './optional-package.js';

/** The parts of a WebGPU adapter that are read here. */
interface Adapter {
  readonly info: {
    readonly vendor: string;
    readonly architecture: string;
    readonly description: string;
    /** A software renderer such as SwiftShader. */
    readonly isFallbackAdapter: boolean;
  };
}

interface Gpu {
  requestAdapter(options: { powerPreference: 'high-performance' }): Promise<Adapter | null>;
}

interface Dawn {
  /** @param options toggles of Dawn, `key=value` */
  create(options: readonly string[]): Gpu;
  /** `GPUBufferUsage` and the other names that WebGPU puts into the global scope. */
  readonly globals: Readonly<Record<string, unknown>>;
}

export interface GpuAdapter {
  /** Who made it, its architecture, its driver's description. */
  readonly description: string;
  /** False for software that imitates a GPU. */
  readonly isHardware: boolean;
}

let opening: Promise<Gpu> | undefined;

/** @throws PackageMissingError; Error when there is no adapter */
export async function requireGpuAdapter(): Promise<GpuAdapter> {
  opening ??= openGpu();
  const adapter = await (await opening).requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('WebGPU finds neither a GPU with a driver nor a software renderer');
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const words = [vendor, architecture, description].filter((word) => word !== '');
  return { description: words.join(' ').slice(0, 128), isHardware: !isFallbackAdapter };
}

/** Puts WebGPU where browsers have it, since tfjs's backend looks for it there. */
async function openGpu(): Promise<Gpu> {
  const dawn = (await importOptional('webgpu')) as Dawn;
  const gpu = dawn.create([]);
  Object.assign(globalThis, dawn.globals);
  const place: object = globalThis.navigator ?? {};
  Object.defineProperty(place, 'gpu', { value: gpu, configurable: true });
  Object.defineProperty(globalThis, 'navigator', { value: place, configurable: true });
  return gpu;
}

/** Cheap and silent: whether to look for a GPU at all. Native libraries complain on stderr where there is none. */
export function mayHaveGpu(): boolean {
  if (process.platform !== 'linux') return true;
  const renderNodes = existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
  return renderNodes || existsSync('/dev/nvidiactl') || existsSync('/dev/dxg');
}
