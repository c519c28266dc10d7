/** /dev/full takes nothing, as a full disk does. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { CoordinatorEvent } from '@coord/coordinator';
import { describe, expect, it } from 'vitest';
import { createLogger } from '../src/log.js';
import { openMetricsFile } from '../src/metrics-file.js';

const FULL = '/dev/full';
const evaluation: CoordinatorEvent = {
  event: 'evaluation',
  ...{ step: 1, epoch: 1, durationMs: 1, loss: 1, accuracy: 1, samples: 1 },
};

describe.skipIf(!existsSync(FULL))('on a full disk', () => {
  it('metrics are left out, and somebody is told, once', async () => {
    const errors: string[] = [];
    const metrics = openMetricsFile(FULL, (error) => errors.push(error.message));
    for (let line = 0; line < 5; line++) {
      metrics.record(evaluation);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await metrics.close();
    expect(errors).toEqual([expect.stringContaining('ENOSPC')]);
  });

  it('logging goes on without its file', async () => {
    const unhandled = once(process, 'uncaughtException').then(([error]) => error);
    const logger = createLogger({ name: 'test', file: FULL, stderr: false });
    logger.info('one');
    logger.info('two');
    expect(await Promise.race([unhandled, new Promise((resolve) => setTimeout(resolve, 100))])).toBeUndefined();
  });
});
