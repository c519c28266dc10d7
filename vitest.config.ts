import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Unit tests import `../src`; other packages and spawned processes are the built ones, so build first (npm test does).
    projects: [
      { test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      {
        test: {
          name: 'cluster',
          include: ['test/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          // Of tests that say they may run beside each other; each is a process or two.
          maxConcurrency: 3,
        },
      },
    ],
  },
});
