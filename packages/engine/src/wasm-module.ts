/** WebAssembly that the build leaves beside the compiled JavaScript. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CoordError } from '@coord/protocol';

/**
 * @param whose for the message: "the optimizer".
 * @throws CoordError ENGINE_UNAVAILABLE when the kernels were not built.
 */
export function compileModule(name: string, whose: string): WebAssembly.Module {
  // The same relative path from src and from dist.
  const file = fileURLToPath(new URL(`../dist/${name}`, import.meta.url));
  try {
    return new WebAssembly.Module(readFileSync(file));
  } catch (cause) {
    throw new CoordError('ENGINE_UNAVAILABLE', `${whose}'s WebAssembly kernels cannot be loaded from ${file}`, {
      hint: 'Build them: npm run build.',
      facts: { file },
      cause,
    });
  }
}
