/** Doubles that obey the contracts of the real links and clocks, for tests and simulations. */
export { createLinkPair, type LinkPairOptions, type MemoryLink } from './memory-link.js';
export { createSegmentPair, type SegmentPair } from './memory-segments.js';
export { natsServerProgram, startNatsServer, type TestNatsServer } from './test-nats-server.js';
export { turn, VirtualClock } from './virtual-clock.js';
