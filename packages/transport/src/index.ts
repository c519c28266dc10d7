export type { Link, LinkClosed } from './link.js';
export { createLinkPair, type LinkPairOptions, type MemoryLink } from './memory-link.js';
export { type ConnectOptions, connectLink } from './ws-connect.js';
export { type LinkListener, type ListenOptions, listenLinks } from './ws-listen.js';
