import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: 'test/support/temporary-files.ts',
    // Files at a time. Every test has directories, ports and namespaces of its own, and many wait more than they compute. Beyond
    // a few, tests of whole clusters, of several processes each, would only get into each other's way.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism())),
    // Unit tests import `../src`; other packages and spawned processes are the built ones, so build first (npm test does).
    projects: [
      { test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      {
        test: {
          name: 'cluster',
          include: ['test/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          // Of tests that say they may run beside each other; each is a process or two.
          maxConcurrency: 3,
        },
      },
    ],
  },
});
