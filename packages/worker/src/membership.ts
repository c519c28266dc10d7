/** The views that this worker has heard of: the newest counts, and whoever works under an older one is told. */
import { CoordError, rankOf, type View } from '@coord/protocol';

export interface ActiveView {
  readonly view: View;
  readonly rank: number;
  /** Aborted as soon as a newer view is known or nothing is left to wait for. */
  readonly signal: AbortSignal;
}

interface Current extends ActiveView {
  readonly abort: AbortController;
}

export class Membership {
  #current: Current | undefined;
  #taken = 0;
  #wake: (() => void) | undefined;
  #ended: { readonly reason: Error | undefined } | undefined;

  constructor(private workerId: string) {}

  /** The coordinator knows this worker by another id from now on. The view in force keeps the rank that it gave. */
  rename(workerId: string): void {
    this.workerId = workerId;
  }

  get generation(): number {
    return this.#current?.view.generation ?? 0;
  }

  /** The newest view; undefined before the first. */
  get view(): View | undefined {
    return this.#current?.view;
  }

  /** A frame of a generation that is not newer is dropped by rule. */
  install(view: View): void {
    const rank = rankOf(view, this.workerId);
    if (view.generation <= this.generation || rank < 0) return;
    this.#current?.abort.abort(viewChanged(view.generation));
    const abort = new AbortController();
    this.#current = { view, rank, abort, signal: abort.signal };
    this.#wake?.();
  }

  /** No further views: for good (without a reason), or because something broke. Wakes whoever waits. */
  end(reason?: Error): void {
    this.#ended ??= { reason };
    this.#current?.abort.abort(reason ?? viewChanged(this.generation));
    this.#wake?.();
  }

  /** The newest view that has not been taken yet, undefined after a good end. @throws the reason of a bad end. */
  async next(): Promise<ActiveView | undefined> {
    for (;;) {
      if (this.#ended?.reason) throw this.#ended.reason;
      if (this.#ended) return undefined;
      if (this.#current && this.#current.view.generation > this.#taken) {
        this.#taken = this.#current.view.generation;
        return this.#current;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

const viewChanged = (generation: number): CoordError =>
  new CoordError('VIEW_CHANGED', `the membership has changed: generation ${generation} is in force`, {
    facts: { generation },
  });
