/** A GPU in software for tests of the WebGPU engines: SwiftShader, from Debian's packages chromium-common and libvulkan1. */
import { existsSync } from 'node:fs';
import { mayHaveGpu, requireGpuAdapter } from '../src/gpu-adapter.js';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

// Read by the Vulkan loader when the first adapter is asked for; who has chosen a driver keeps it.
if (existsSync(SWIFTSHADER)) process.env.VK_DRIVER_FILES ??= SWIFTSHADER;

const isWorthTrying = process.env.VK_DRIVER_FILES !== undefined || mayHaveGpu();

/** Description of the adapter, or undefined where there is none. */
export const adapter: string | undefined = !isWorthTrying
  ? undefined
  : await requireGpuAdapter().then(
      ({ description }) => description,
      () => undefined,
    );

/** To be added to the titles of what is skipped. */
export const skipReason = adapter ? '' : ' (skipped: no WebGPU adapter; install chromium-common and libvulkan1)';
