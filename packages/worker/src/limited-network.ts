/**
 * A network whose host sends segments at a limited rate, all of its links together, like a card in front of a slow line. For measurements and
 * tests of slow links where there are no network namespaces; the bytes travel over the real links below.
 */
import type { Clock } from '@coord/protocol';
import type { PeerNetwork, SegmentSender } from '@coord/transport';

/** What may be sent at once: timers are coarser than a segment's time on a fast line. */
const BURST_MS = 2;

export function limitNetwork(network: PeerNetwork, bytesPerSecond: number, clock: Clock): PeerNetwork {
  const line = new Line(bytesPerSecond / 1000, clock);
  return {
    endpoint: network.endpoint,
    acceptSegments: async (options) => limitSender(await network.acceptSegments(options), line),
    dialSegments: (peer, options) => network.dialSegments(peer, options),
    onLink: (service, handler) => network.onLink(service, handler),
    dialLink: (peer, service, options) => network.dialLink(peer, service, options),
    close: () => network.close(),
  };
}

/** Frames leave one after another, so a sender that closes is not overtaken by what it had waiting. */
function limitSender(sender: SegmentSender, line: Line): SegmentSender {
  let last: Promise<void> = Promise.resolve();
  return {
    closed: sender.closed,
    beat: (value) => sender.beat(value),
    close: () => sender.close(),
    send(...parts) {
      const sent = last.then(async () => {
        await line.pass(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
        await sender.send(...parts);
      });
      last = sent.catch(() => {});
      return sent;
    },
  };
}

class Line {
  private freeAtMs = 0;

  constructor(
    private readonly bytesPerMs: number,
    private readonly clock: Clock,
  ) {}

  /** Resolves when so many bytes have passed. */
  async pass(sizeBytes: number): Promise<void> {
    const nowMs = this.clock.nowMs();
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + sizeBytes / this.bytesPerMs;
    const waitMs = this.freeAtMs - nowMs;
    if (waitMs > BURST_MS) await new Promise<void>((resolve) => this.clock.after(waitMs, resolve));
  }
}
