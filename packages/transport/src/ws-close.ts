/** Closing handshake of an owned WebSocket (RFC 6455, section 7) and the outcome that both kinds of segment ends report. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { CLOSE_CODE, closePayload, controlFrame, OPCODE, parseClosePayload } from './frame.js';
import type { LinkClosed } from './link.js';

/** How long a peer may take to answer a goodbye: a host whose neighbour hangs waits for it before it enters the next view. */
const CLOSE_TIMEOUT_MS = 300;

export class ClosingHandshake {
  readonly closed: Promise<LinkClosed>;
  /** Set as soon as the end is decided; the socket may live a little longer. */
  outcome: LinkClosed | undefined;
  private resolveClosed!: (closed: LinkClosed) => void;

  constructor(
    private readonly socket: Socket,
    private readonly remote: string,
    /** A client masks what it sends. */
    private readonly masks: boolean,
  ) {
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    let cause = '';
    socket.on('error', (error) => {
      cause = `: ${error.message}`;
    });
    socket.once('close', () => {
      this.decide({ reason: `the connection was lost${cause}`, clean: false });
      this.resolveClosed(this.outcome as LinkClosed);
    });
  }

  writeControl(opcode: number, payload: Uint8Array): void {
    if (this.socket.writable) this.socket.write(controlFrame(opcode, payload, this.masks ? randomBytes(4) : undefined));
  }

  /** @returns false when the end had been decided before. */
  decide(outcome: LinkClosed): boolean {
    if (this.outcome) return false;
    this.outcome = outcome;
    return true;
  }

  /** This end says goodbye, or complains, and waits a little for the answer. */
  close(code: number, outcome: LinkClosed): void {
    if (this.decide(outcome)) this.end(closePayload(code, outcome.reason));
  }

  /** Answers pings and goodbyes. */
  onControl(opcode: number, payload: Uint8Array): void {
    if (opcode === OPCODE.ping) this.writeControl(OPCODE.pong, payload);
    if (opcode === OPCODE.close) this.onGoodbye(payload);
  }

  private onGoodbye(payload: Uint8Array): void {
    const { code, reason } = parseClosePayload(payload);
    const clean = code === CLOSE_CODE.normal;
    const said = reason === '' ? `${this.remote} closed it${clean ? '' : ` with code ${code}`}` : reason;
    if (this.decide({ clean, reason: said })) this.end(payload.subarray(0, 2));
    else this.socket.destroySoon();
  }

  private end(payload: Uint8Array): void {
    this.writeControl(OPCODE.close, payload);
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), CLOSE_TIMEOUT_MS);
    this.socket.once('close', () => clearTimeout(timer));
  }
}
