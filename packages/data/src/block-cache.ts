/**
 * Blocks near at hand: memory, then disk, then whoever has them. A block is its hash, so every copy can be checked, several
 * processes may share a directory, and the directory may be deleted at any time.
 */
import { CoordError, sha256Schema } from '@coord/protocol';
import { BlockDirectory, type CacheProblem } from './block-directory.js';
import { sha256Of } from './blocks.js';
import { RecentBlocks } from './recent-blocks.js';

export interface BlockCacheOptions {
  readonly directory: string;
  /** Bytes of blocks kept in memory, the most recently used ones. */
  readonly memoryBytes: number;
  /** Asks whoever has the block; rejects when nobody does. */
  readonly fetch: (sha256: string) => Promise<Uint8Array>;
  /** Told about what the cache copes with by itself: a corrupt file (fetched again), a disk that cannot be written. */
  readonly onProblem?: (problem: CacheProblem) => void;
}

export interface BlockCacheCounts {
  readonly memoryHits: number;
  readonly diskHits: number;
  readonly fetches: number;
}

export interface BlockCache {
  /**
   * The block's bytes, verified by hash; not to be written to.
   * @throws CoordError BLOCK_CORRUPT when `fetch` gave other bytes, DATASET_INVALID when `sha256` is no hash; and whatever
   *   `fetch` rejects with.
   */
  get(sha256: string): Promise<Uint8Array>;
  counts(): BlockCacheCounts;
}

export const createBlockCache = (options: BlockCacheOptions): BlockCache => new LayeredCache(options);

class LayeredCache implements BlockCache {
  readonly #recent: RecentBlocks;
  readonly #disk: BlockDirectory;
  readonly #fetch: BlockCacheOptions['fetch'];
  /** What is on its way, so that a block asked for twice is fetched once. */
  readonly #loading = new Map<string, Promise<Uint8Array>>();
  readonly #counts = { memoryHits: 0, diskHits: 0, fetches: 0 };

  constructor({ directory, memoryBytes, fetch, onProblem = () => {} }: BlockCacheOptions) {
    this.#recent = new RecentBlocks(memoryBytes);
    this.#disk = new BlockDirectory(directory, onProblem);
    this.#fetch = fetch;
  }

  async get(sha256: string): Promise<Uint8Array> {
    checkName(sha256);
    const held = this.#recent.get(sha256);
    if (!held) return this.#loading.get(sha256) ?? this.#load(sha256);
    this.#counts.memoryHits++;
    return held;
  }

  counts(): BlockCacheCounts {
    return { ...this.#counts };
  }

  #load(sha256: string): Promise<Uint8Array> {
    const begun = this.#fromDiskOrFetched(sha256)
      .then((bytes) => {
        this.#recent.set(sha256, bytes);
        return bytes;
      })
      .finally(() => this.#loading.delete(sha256));
    this.#loading.set(sha256, begun);
    return begun;
  }

  async #fromDiskOrFetched(sha256: string): Promise<Uint8Array> {
    const stored = await this.#disk.read(sha256);
    if (stored) {
      this.#counts.diskHits++;
      return stored;
    }
    this.#counts.fetches++;
    const bytes = await this.#fetch(sha256);
    checkFetched(sha256, bytes);
    await this.#disk.write(sha256, bytes);
    return bytes;
  }
}

/** The hash becomes a file name, so nothing else may pass. */
function checkName(sha256: string): void {
  if (sha256Schema.safeParse(sha256).success) return;
  throw new CoordError('DATASET_INVALID', `${JSON.stringify(sha256)} is no block: expected 64 lower-case hex digits`);
}

function checkFetched(sha256: string, bytes: Uint8Array): void {
  const found = sha256Of(bytes);
  if (found === sha256) return;
  const message = `block ${sha256} arrived as ${bytes.byteLength} bytes with hash ${found}`;
  throw new CoordError('BLOCK_CORRUPT', message, {
    hint: 'The sender, its disk or the network changed the bytes; check the machine that serves the dataset.',
    facts: { sha256, found, sizeBytes: bytes.byteLength },
  });
}
