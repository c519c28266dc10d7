export { type BatchReader, type BlockSource, createBatchReader } from './batch-reader.js';
export {
  type BlockCache,
  type BlockCacheCounts,
  type BlockCacheOptions,
  createBlockCache,
} from './block-cache.js';
export type { CacheProblem } from './block-directory.js';
export { DATA_SOURCES, type DataConfig, type DataSourceName, dataConfigSchema } from './config.js';
export { type PreparedDataset, type PrepareOptions, prepareDataset } from './prepare.js';
export { type SampleOrder, sampleOrder } from './sample-order.js';
