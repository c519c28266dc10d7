import { basename, extname } from 'node:path';

/** What a file says about a model. */
export interface ModelFile {
  /** The file's name without its extension. */
  readonly name: string;
  readonly topology: string;
  /** In the order of `model.weights`; only where the file brings weights. */
  readonly weights?: readonly Float32Array[];
}

export const modelFileName = (path: string): string => basename(path, extname(path));
