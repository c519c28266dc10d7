/**
 * Peer network: how the hosts of a run reach each other, whichever transport carries it. One host has one; its endpoint goes
 * into the view, and its peers' endpoints come from there.
 */
import type { PeerEndpoint } from '@coord/protocol';
import type { Link } from './link.js';
import type { SegmentLinkOptions, SegmentReceiver, SegmentSender } from './segment-link.js';

export interface PeerSegmentOptions extends SegmentLinkOptions {
  /** Rank of the end that sends; `rank` is that of the end that dials and receives. */
  readonly senderRank: number;
}

export interface DialLinkOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface PeerNetwork {
  /** Where peers reach this host. */
  readonly endpoint: PeerEndpoint;
  /** The sending end. @throws CoordError LINK_TIMEOUT, LINK_CLOSED (the network is closed), or the signal's reason. */
  acceptSegments(options: PeerSegmentOptions): Promise<SegmentSender>;
  /** The receiving end. @throws CoordError RING_BROKEN (nobody there, refused), LINK_TIMEOUT, or the signal's reason. */
  dialSegments(peer: PeerEndpoint, options: PeerSegmentOptions): Promise<SegmentReceiver>;
  /** Takes message links for `service`, e.g. `state`; at most one handler for each. */
  onLink(service: string, handler: (link: Link) => void): void;
  /** @throws CoordError UNREACHABLE, LINK_CLOSED (given up). */
  dialLink(peer: PeerEndpoint, service: string, options: DialLinkOptions): Promise<Link>;
  /** Closes every link that was accepted here. */
  close(): Promise<void>;
}
