/** Blocks as files `ab/abcd…`, written aside and renamed, so that a reader in another process never sees half of one. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile, sweepLeftovers } from '@coord/disk';
import { sha256Of } from './blocks.js';

export interface CacheProblem {
  readonly kind: 'corrupt-file' | 'read-failed' | 'write-failed';
  readonly sha256: string;
  readonly file: string;
  readonly cause?: unknown;
}

export class BlockDirectory {
  #sweeping: Promise<string[]> | undefined;

  constructor(
    readonly directory: string,
    readonly onProblem: (problem: CacheProblem) => void,
  ) {}

  /** Undefined when the block is not there, not readable or not what its name says; fetching it again cures all three. */
  async read(sha256: string): Promise<Uint8Array | undefined> {
    const file = this.#fileOf(sha256);
    try {
      const bytes = await readFile(file);
      if (sha256Of(bytes) === sha256) return bytes;
      this.onProblem({ kind: 'corrupt-file', sha256, file });
    } catch (cause) {
      if (!isMissing(cause)) this.onProblem({ kind: 'read-failed', sha256, file, cause });
    }
    return undefined;
  }

  /** A full or read-only disk makes the cache slower, not the run fail. Nothing waits for the disk: `read` finds out what is torn. */
  async write(sha256: string, bytes: Uint8Array): Promise<void> {
    // Beside it: what killed processes have left half written is in nobody's way, it only takes room.
    this.#sweeping ??= sweepLeftovers(this.directory);
    const file = this.#fileOf(sha256);
    try {
      await replaceFile(file, bytes, { sync: false });
    } catch (cause) {
      this.onProblem({ kind: 'write-failed', sha256, file, cause });
    }
  }

  #fileOf(sha256: string): string {
    return join(this.directory, sha256.slice(0, 2), sha256);
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
