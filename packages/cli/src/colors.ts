import picocolors from 'picocolors';
import type { CommandIo, TextOutput } from './io.js';

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Colours for one output: none where it is no terminal or NO_COLOR is set. */
export function colorsFor(output: TextOutput, env: CommandIo['env']): Colors {
  return picocolors.createColors(output.isTTY === true && (env.NO_COLOR ?? '') === '');
}
