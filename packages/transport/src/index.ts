export { dialSegments } from './dial-segments.js';
export type { Link, LinkClosed } from './link.js';
export { createLinkPair, type LinkPairOptions, type MemoryLink } from './memory-link.js';
export { createPeerListener, type PeerListener, type PeerListenerOptions } from './peer-listener.js';
export type { DialLinkOptions, DialMeta, PeerNetwork, PeerSegmentOptions } from './peer-network.js';
export type { SegmentLinkOptions, SegmentReceiver, SegmentSender } from './segment-link.js';
export { type ConnectOptions, connectLink } from './ws-connect.js';
export { type LinkListener, type ListenOptions, listenLinks } from './ws-listen.js';
export { createWsNetwork } from './ws-network.js';
