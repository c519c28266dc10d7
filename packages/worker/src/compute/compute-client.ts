/** The network thread's handle on one compute thread. */
import { Worker } from 'node:worker_threads';
import { CoordError, type ErrorRecord, fromErrorRecord } from '@coord/protocol';
import type { ComputeRequest, GrainProgress, OnProgress, ResponseTo } from './requests.js';

interface Waiting {
  readonly onProgress: OnProgress | undefined;
  resolve(response: unknown): void;
  reject(error: Error): void;
}

interface Reply {
  readonly id: number;
  readonly progress?: GrainProgress;
  readonly response?: unknown;
  readonly error?: ErrorRecord;
}

/** One compute thread, wherever it runs. */
export interface ComputeThread {
  /**
   * @param onProgress called on the way, in order, before the answer.
   * @throws whatever the thread threw, or CoordError ENGINE_FAILED when the thread is gone.
   */
  call<R extends ComputeRequest>(request: R, transfer?: ArrayBuffer[], onProgress?: OnProgress): Promise<ResponseTo<R>>;
  terminate(): Promise<void>;
}

/** A thread in native code ends when that returns. */
const TERMINATE_MS = 10_000;

/** Node waits for its threads when a process ends, for ever where one never returns. Only a signal ends such a process. */
function endTheHardWay(): void {
  process.once('exit', () => process.kill(process.pid, 'SIGKILL'));
}

export class ComputeClient implements ComputeThread {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #ended: Error | undefined;

  constructor(readonly name: string) {
    this.#thread = new Worker(new URL('./compute-thread.js', import.meta.url), { name });
    this.#thread.on('message', (reply: Reply) => this.#settle(reply));
    this.#thread.on('error', (error) => this.#end(error));
    this.#thread.on('exit', (code) => this.#end(new Error(`the thread ended with status ${code}`)));
  }

  call<R extends ComputeRequest>(
    request: R,
    transfer: ArrayBuffer[] = [],
    onProgress?: OnProgress,
  ): Promise<ResponseTo<R>> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { onProgress, resolve: (response) => resolve(response as ResponseTo<R>), reject });
      this.#thread.postMessage({ id, request }, transfer);
    });
  }

  async terminate(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        endTheHardWay();
        resolve();
      }, TERMINATE_MS);
    });
    await Promise.race([this.#thread.terminate(), late]);
    clearTimeout(timer);
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (reply.progress) {
      waiting?.onProgress?.(reply.progress);
      return;
    }
    this.#waiting.delete(reply.id);
    if (reply.error) waiting?.reject(fromErrorRecord(reply.error));
    else waiting?.resolve(reply.response);
  }

  #end(cause: Error): void {
    this.#ended ??= new CoordError('ENGINE_FAILED', `compute thread ${this.name} stopped: ${cause.message}`, { cause });
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
