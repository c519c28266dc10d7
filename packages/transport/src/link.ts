/** Link: one ordered, reliable, framed connection between two ends, for control messages and state transfer. */
import { CoordError } from '@coord/protocol';

export interface LinkClosed {
  readonly reason: string;
  /** True when one end said goodbye; false when the connection was lost or broke a rule. */
  readonly clean: boolean;
}

export interface Link {
  /** The other end, as text for people: an address or a URL. */
  readonly remote: string;
  /** Address of this end; what others on the same network may reach it by. */
  readonly localAddress: string;
  /**
   * Names the encrypted channel below, the same at both ends of it and different for every other channel (RFC 9266);
   * empty on a plain link. A proof that covers it cannot be passed on by whoever stands between.
   */
  readonly channelBinding: string;
  /** The other end has proved itself: limits for strangers, where this end has any, bind it no longer. */
  admit?(): void;
  /**
   * Resolves when the message is handed to the operating system; whoever awaits it cannot flood a slow peer. The bytes may
   * be reused then.
   *
   * @throws CoordError LINK_CLOSED; FRAME_TOO_LARGE when the message exceeds this end's own limit.
   */
  send(message: Uint8Array): Promise<void>;
  /**
   * The next message, in order; nothing is lost before a reader comes. Several calls may be outstanding.
   *
   * @throws CoordError LINK_CLOSED once the link is closed and all that had arrived is read.
   */
  receive(): Promise<Uint8Array>;
  /** Says goodbye, and resolves when the connection is gone. Calling it again is harmless. */
  close(reason?: string): Promise<void>;
  /** Resolves (never rejects) once the link is closed, whoever closed it. */
  readonly closed: Promise<LinkClosed>;
}

export function linkClosedError(remote: string, closed: LinkClosed): CoordError {
  return new CoordError('LINK_CLOSED', `the link to ${remote} is closed: ${closed.reason}`, {
    facts: { remote, reason: closed.reason, clean: closed.clean },
  });
}

export function messageTooLargeError(remote: string, sizeBytes: number, limitBytes: number): CoordError {
  return new CoordError(
    'FRAME_TOO_LARGE',
    `a message of ${sizeBytes} bytes for ${remote} exceeds the link's limit of ${limitBytes} bytes`,
    { facts: { remote, sizeBytes, limitBytes } },
  );
}
