/**
 * Ends the calls of a compute thread that is stuck: in a driver that hangs, in an engine that never comes back. Others cannot tell such a
 * thread from a slow one, since the host's network thread lives. The host can: no call takes many times as long as all calls of its
 * kind before.
 *
 * What counts is the time in which this process itself was awake, in ticks of its own clock: after a suspended machine or a long stop
 * nobody is stuck.
 */
import { type Clock, CoordError } from '@coord/protocol';
import type { ComputeThread } from './compute-client.js';
import type { ComputeRequest, OnProgress, ResponseTo } from './requests.js';

export interface Patience {
  readonly tickMs: number;
  /** A call may take `factor` times as long as the longest of its kind, and always this long. */
  readonly leastMs: number;
  readonly factor: number;
  /** The first call of a kind. */
  readonly firstMs: number;
}

export const PATIENCE: Patience = { tickMs: 1000, leastMs: 15_000, factor: 10, firstMs: 600_000 };

type Kind = ComputeRequest['kind'];

/** Before a host takes part; a large model may take any time, and nobody waits. */
const UNLIMITED: ReadonlySet<Kind> = new Set(['compile', 'attach']);

interface Call {
  readonly kind: Kind;
  reject(error: Error): void;
}

export class WatchedThread implements ComputeThread {
  /** In the order in which the thread takes them. */
  readonly #calls: Call[] = [];
  readonly #longestMs = new Map<Kind, number>();
  #beganMs = 0;
  /** Since the first of the calls has begun, and since it was heard of. */
  #ticks = 0;
  #ticksInSilence = 0;
  #cancel: () => void = () => {};
  #stuck: CoordError | undefined;

  constructor(
    private readonly thread: ComputeThread,
    private readonly name: string,
    private readonly clock: Clock,
    private readonly patience: Patience = PATIENCE,
  ) {}

  /** As the thread's. @throws CoordError ENGINE_FAILED, too, when the thread is stuck. */
  call<R extends ComputeRequest>(
    request: R,
    transfer?: ArrayBuffer[],
    onProgress?: OnProgress,
  ): Promise<ResponseTo<R>> {
    if (this.#stuck) return Promise.reject(this.#stuck);
    return new Promise((resolve, reject) => {
      const call = { kind: request.kind, reject };
      this.#calls.push(call);
      if (this.#calls.length === 1) this.#begin();
      const heard: OnProgress | undefined =
        onProgress &&
        ((progress) => {
          this.#ticksInSilence = 0;
          onProgress(progress);
        });
      this.thread
        .call(request, transfer, heard)
        .finally(() => this.#end(call))
        .then(resolve, reject);
    });
  }

  terminate(): Promise<void> {
    this.#cancel();
    return this.thread.terminate();
  }

  /** The thread takes the first of the calls. */
  #begin(): void {
    this.#beganMs = this.clock.nowMs();
    this.#ticks = 0;
    this.#ticksInSilence = 0;
    this.#cancel();
    this.#tickOn();
  }

  #tickOn(): void {
    this.#cancel = this.clock.after(this.patience.tickMs, () => {
      this.#ticks++;
      this.#ticksInSilence++;
      this.#tickOn();
      const [{ kind }] = this.#calls;
      if (this.#ticksInSilence * this.patience.tickMs >= this.#limitMs(kind)) this.#giveUp(kind);
    });
  }

  #limitMs(kind: Kind): number {
    const { leastMs, factor, firstMs } = this.patience;
    if (UNLIMITED.has(kind)) return Number.POSITIVE_INFINITY;
    const longestMs = this.#longestMs.get(kind);
    return longestMs === undefined ? firstMs : Math.max(leastMs, factor * longestMs);
  }

  #end(call: Call): void {
    const at = this.#calls.indexOf(call);
    if (at < 0) return;
    this.#calls.splice(at, 1);
    if (at > 0) return;
    const awakeMs = Math.min(this.clock.nowMs() - this.#beganMs, (this.#ticks + 1) * this.patience.tickMs);
    this.#longestMs.set(call.kind, Math.max(awakeMs, this.#longestMs.get(call.kind) ?? 0));
    if (this.#calls.length > 0) this.#begin();
    else this.#cancel();
  }

  #giveUp(kind: Kind): void {
    this.#cancel();
    const seconds = (ms: number) => `${Number((ms / 1000).toPrecision(2))} s`;
    const longestMs = this.#longestMs.get(kind);
    const before = longestMs === undefined ? 'it is the first' : `the longest before took ${seconds(longestMs)}`;
    const spentMs = this.#ticksInSilence * this.patience.tickMs;
    const what = `compute thread ${this.name} is stuck: it has been at one call (${kind}) for ${seconds(spentMs)}; ${before}`;
    this.#stuck = new CoordError('ENGINE_FAILED', what, {
      hint: 'Look at the device and its driver. Where the machine is merely that slow, give it smaller grains (batch.grainSize).',
      facts: { spentMs, longestMs: longestMs ?? 0 },
    });
    for (const { reject } of this.#calls.splice(0)) reject(this.#stuck);
  }
}
