/** Which line of a layer's code an error comes from. */

/** Code that every traced kernel passes through, and that says nothing about the layer. */
const MACHINERY = [
  '/@tensorflow/tfjs-core/',
  '/@tensorflow/tfjs-backend-cpu/',
  '/packages/engine/src/',
  '/packages/engine/dist/',
  'node:',
];

const FRAME = /at (?:(.+?) \()?(?:file:\/\/)?([^()]+?):(\d+):\d+\)?$/;

interface Frame {
  readonly what: string | undefined;
  readonly file: string;
  readonly line: string;
}

/**
 * @param stack an error's.
 * @returns `Conv2D.call (…/tf-layers.node.js:1234)`, the innermost line that belongs to a layer; undefined where there is none.
 */
export function sourceLine(stack: string | undefined): string | undefined {
  const frames = (stack ?? '').split('\n').flatMap(frameOf);
  const found = frames.find(({ file }) => !MACHINERY.some((part) => file.includes(part)));
  if (!found) return undefined;
  const place = `${shortened(found.file)}:${found.line}`;
  return found.what ? `${found.what} (${place})` : place;
}

function frameOf(text: string): Frame[] {
  const match = FRAME.exec(text.trim());
  return match ? [{ what: match[1], file: match[2], line: match[3] }] : [];
}

/** From the package on, or the last three names of the path. */
function shortened(file: string): string {
  const inPackage = file.split('/node_modules/').at(-1) as string;
  return inPackage === file ? file.split('/').slice(-3).join('/') : inPackage;
}

const FRAMES = 50;

/** Runs `work` with errors that know more callers than usual: tfjs calls itself many times between a layer and a kernel. */
export function withDeepStacks<Result>(work: () => Result): Result {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = Math.max(before, FRAMES);
  try {
    return work();
  } finally {
    Error.stackTraceLimit = before;
  }
}
