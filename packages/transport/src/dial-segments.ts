/** Dials the receiving end of a segment link. */
import { CoordError, isCoordError, type SocketEndpoint } from '@coord/protocol';
import { hostForUrl } from './address.js';
import { channelBindingOf } from './channel-binding.js';
import { reachableSocket } from './local-socket.js';
import { DEFAULT_PURPOSE, givenUpError, type SegmentLinkOptions, type SegmentReceiver } from './segment-link.js';
import { createDialNonce, faultOfAccept, parseAcceptResponse, writeDialRequest } from './ws-handshake.js';
import { type SegmentTarget, WsSegmentReceiver } from './ws-segment-receiver.js';

/**
 * Dials the neighbour at `endpoint`, proves knowledge of the view's key and asks for the same proof. On the same machine it goes
 * through the neighbour's local socket, if that answers.
 *
 * @param options.rank this end's own rank.
 * @throws CoordError RING_BROKEN (nobody there, refused: wrong generation or key), LINK_TIMEOUT, or the signal's reason.
 */
export async function dialSegments(endpoint: SocketEndpoint, options: SegmentLinkOptions): Promise<SegmentReceiver> {
  const remote = `${hostForUrl(endpoint.host)}:${endpoint.port}`;
  return (await dialLocally(endpoint, remote, options)) ?? dialTarget(endpoint, remote, options);
}

/** @returns undefined where there is no local socket, or none that takes this link. */
async function dialLocally(
  { localSocket, certificateSha256 }: SocketEndpoint,
  remote: string,
  options: SegmentLinkOptions,
): Promise<SegmentReceiver | undefined> {
  if (localSocket === undefined || certificateSha256 !== undefined) return undefined;
  const path = await reachableSocket(localSocket);
  if (path === undefined) return undefined;
  try {
    return await dialTarget({ path }, remote, options);
  } catch (error) {
    if (isCoordError(error, 'RING_BROKEN') && !options.signal?.aborted) return undefined;
    throw error;
  }
}

async function dialTarget(
  target: SegmentTarget,
  remote: string,
  options: SegmentLinkOptions,
): Promise<SegmentReceiver> {
  if (options.signal?.aborted) throw givenUpError(remote, options.signal);
  const receiver = new WsSegmentReceiver(target, remote);
  const watch = giveUpWhenLate(receiver, remote, options);
  try {
    await shakeHands(receiver, remote, options);
    return receiver;
  } catch (error) {
    receiver.socket.destroy();
    throw watch.reason() ?? dialError(remote, options, error);
  } finally {
    watch.stop();
  }
}

async function shakeHands(receiver: WsSegmentReceiver, remote: string, options: SegmentLinkOptions): Promise<void> {
  const { generation, rank, key, purpose = DEFAULT_PURPOSE } = options;
  await receiver.secured;
  const channelBinding = channelBindingOf(receiver.socket);
  const identity = { generation, rank, purpose, nonce: createDialNonce(), channelBinding };
  receiver.socket.write(writeDialRequest(remote, key, identity));
  const fault = faultOfAccept(parseAcceptResponse(await receiver.head), key, identity);
  if (fault !== undefined) throw new Error(fault);
}

/** Ends a dial from outside, and remembers why. */
function giveUpWhenLate(receiver: WsSegmentReceiver, remote: string, options: SegmentLinkOptions) {
  const { signal, timeoutMs } = options;
  let reason: Error | undefined;
  const giveUp = (why: Error) => {
    reason = why;
    receiver.socket.destroy();
  };
  const abort = () => giveUp(givenUpError(remote, signal));
  const timer = setTimeout(() => giveUp(timeoutError(remote, options)), timeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  return {
    reason: () => reason,
    stop() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    },
  };
}

function timeoutError(remote: string, { generation, rank, timeoutMs }: SegmentLinkOptions): CoordError {
  return new CoordError(
    'LINK_TIMEOUT',
    `${remote} did not answer rank ${rank}'s dial in generation ${generation} within ${timeoutMs} ms`,
    { facts: { remote, generation, rank, timeoutMs } },
  );
}

function dialError(remote: string, { generation, rank }: SegmentLinkOptions, cause: unknown): CoordError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CoordError('RING_BROKEN', `rank ${rank} cannot link to ${remote} in generation ${generation}: ${why}`, {
    facts: { remote, generation, rank },
    cause,
  });
}
