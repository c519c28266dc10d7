import { createSegmentPair } from '../src/memory-segments.js';
import { testSegmentLink } from './segment-compliance.js';

for (const latencyMs of [0, 1]) {
  testSegmentLink(`memory (${latencyMs} ms)`, async () => {
    const { sender, receiver, cut } = createSegmentPair({ latencyMs });
    return { sender, receiver, cut, dispose: async () => cut() };
  });
}
