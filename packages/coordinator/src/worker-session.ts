/** One welcomed worker: its link, what is known about it, and the state upload that it may owe. */
import {
  CoordError,
  type CoordinatorMessage,
  decodeMessage,
  encodeMessage,
  type Hello,
  type Phase,
  type PhaseTimes,
  type StateMessage,
  type WorkerMessage,
  type WorkerMessageOf,
  workerMessageSchema,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import { type HashedState, StateAssembler, type StateShape } from './state-transfer.js';
import { checkTurn, unexpected, type WorkerStage } from './turn.js';

/** Requests of one worker that may wait for their answers. */
const MAX_TRANSFERS = 1024;

interface Upload {
  assembler: StateAssembler | undefined;
  resolve(state: HashedState): void;
  reject(error: unknown): void;
}

export class WorkerSession {
  stage: WorkerStage = 'joined';
  /** What it was before it lost its coordinator, of this same run; undefined for a newcomer. */
  readonly returns: Hello['returns'];
  /** Step up to which it was told that its reports are on record. */
  settledTold = 0;
  phase: Phase = 'joining';
  /** Steps completed, by its last heartbeat or report. */
  step = 0;
  /** Highest step whose state it has said to hold: when it became ready, and by its reports. */
  heldStep = 0;
  /** How often it has gone back to an earlier one. */
  retreats = 0;
  heardMs = 0;
  ready: WorkerMessageOf<'ready'> | undefined;
  finished: WorkerMessageOf<'finished'> | undefined;
  times: PhaseTimes | undefined;
  ownSamples = 0;
  lastHeartbeat: WorkerMessageOf<'heartbeat'> | undefined;
  stopTold = false;
  /** Resolves once the worker is dismissed or its link has ended. */
  readonly gone: Promise<CoordError>;
  private resolveGone!: (why: CoordError) => void;
  private upload: Upload | undefined;
  private transfers: Promise<void> = Promise.resolve();
  private waitingTransfers = 0;
  private isEchoing = false;

  constructor(
    readonly workerId: string,
    readonly hello: Hello,
    private readonly link: Link,
    runId: string,
    /** Of the token that it joined with. */
    readonly tokenId: string,
  ) {
    this.returns = hello.returns?.runId === runId ? hello.returns : undefined;
    this.gone = new Promise((resolve) => {
      this.resolveGone = resolve;
    });
  }

  /** How logs and errors call it. */
  get label(): string {
    return `${this.workerId} (${this.hello.name})`;
  }

  get remote(): string {
    return this.link.remote;
  }

  get isUploading(): boolean {
    return this.upload !== undefined;
  }

  /** @throws CoordError LINK_CLOSED */
  async send(message: CoordinatorMessage): Promise<void> {
    await this.link.send(encodeMessage(message));
  }

  /** For messages whose loss is the same as the worker's own: the link's end says so anyway. */
  tell(message: CoordinatorMessage): void {
    this.tellEncoded(encodeMessage(message));
  }

  /** As `tell`, for a message that many are told: it is encoded once. */
  tellEncoded(frame: Uint8Array): void {
    this.link.send(frame).catch(() => {});
  }

  /** @param recordedStep steps up to this one are on the disk. */
  hearHeartbeat(message: WorkerMessageOf<'heartbeat'>, recordedStep: number): void {
    this.phase = message.phase;
    this.step = Math.max(this.step, message.step);
    this.lastHeartbeat = message;
    if (message.sentMs === undefined) return;
    const echoUnixMs = performance.timeOrigin + performance.now();
    this.echo({ type: 'heartbeat-echo', sentMs: message.sentMs, echoUnixMs, recordedStep });
  }

  /** One at a time: who sends heartbeats and reads nothing must not fill this process' memory with echoes. */
  private echo(message: CoordinatorMessage): void {
    if (this.isEchoing) return;
    this.isEchoing = true;
    this.send(message)
      .catch(() => {})
      .finally(() => {
        this.isEchoing = false;
      });
  }

  /** @throws CoordError LINK_CLOSED, FRAME_TOO_LARGE, FRAME_INVALID, MESSAGE_INVALID, MESSAGE_UNEXPECTED */
  async receive(): Promise<WorkerMessage> {
    const frame = await this.link.receive();
    const message = decodeMessage(workerMessageSchema, frame, { from: this.label });
    checkTurn(this.label, this.stage, message.type);
    return message;
  }

  /**
   * Large answers go out one after the other, beside the reading of the worker's messages: a slow reader must not keep its
   * own heartbeats unread.
   *
   * @throws CoordError MESSAGE_UNEXPECTED when the worker asks faster than anybody could answer.
   */
  queueTransfer(type: WorkerMessage['type'], transfer: () => Promise<void>): void {
    if (this.waitingTransfers >= MAX_TRANSFERS) {
      throw unexpected(this.label, type, `${MAX_TRANSFERS} of its requests are not answered yet`);
    }
    this.waitingTransfers++;
    this.transfers = this.transfers
      .then(transfer)
      .catch(() => {})
      .finally(() => this.waitingTransfers--)
      .then(() => {});
  }

  /** Asks for the worker's state. Rejects when the link ends (LINK_CLOSED), or when what has come is not what it says it is. */
  requestState(): Promise<HashedState> {
    return new Promise((resolve, reject) => {
      this.upload = { assembler: undefined, resolve, reject };
      this.send({ type: 'state-request' }).catch(reject);
    });
  }

  /** @throws CoordError MESSAGE_UNEXPECTED when no state was asked for, MESSAGE_INVALID when it is too long, CHECKPOINT_MISMATCH */
  acceptState(message: StateMessage, expected: StateShape): void {
    const upload = this.upload;
    if (!upload) throw unexpected(this.label, message.type, 'nobody asked it for its state');
    if ((message.type === 'state-begin') === (upload.assembler !== undefined)) {
      throw unexpected(this.label, message.type, upload.assembler ? 'its state has begun already' : 'no state-begin');
    }
    if (message.type === 'state-begin') upload.assembler = new StateAssembler(this.label, message.header, expected);
    else if (message.type === 'state-chunk') upload.assembler!.add(message.data);
    else this.completeUpload(upload);
  }

  async close(reason: string): Promise<void> {
    const error = new CoordError('LINK_CLOSED', `${this.label} is gone: ${reason}`);
    // Whoever waits for its state must ask another.
    this.upload?.reject(error);
    this.upload = undefined;
    this.resolveGone(error);
    await this.link.close(reason);
  }

  private completeUpload(upload: Upload): void {
    this.upload = undefined;
    upload.assembler!.finish().then(upload.resolve, upload.reject);
  }
}
