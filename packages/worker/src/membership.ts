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
  #onView: ((active: ActiveView) => void) | undefined;
  #ended: { readonly reason: Error | undefined } | undefined;
  readonly #over = new AbortController();

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

  /** Calls back with every view from now on as soon as it is known, whoever is to take it. One callback. */
  onView(callback: (active: ActiveView) => void): void {
    this.#onView = callback;
  }

  /** A frame of a generation that is not newer is dropped by rule. */
  install(view: View): void {
    const rank = rankOf(view, this.workerId);
    if (view.generation <= this.generation || rank < 0) return;
    this.#current?.abort.abort(viewChanged(view.generation));
    const abort = new AbortController();
    this.#current = { view, rank, abort, signal: abort.signal };
    this.#onView?.(this.#current);
    this.#wake?.();
  }

  /** No further views: for good (without a reason), or because something broke. Wakes whoever waits. */
  end(reason?: Error): void {
    this.#ended ??= { reason };
    const why = reason ?? viewChanged(this.generation);
    this.#over.abort(why);
    this.#current?.abort.abort(why);
    this.#wake?.();
  }

  /** As the work does; rejects at once when there are to be no further views, whatever the work is at. */
  orEnd<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#over;
    if (signal.aborted) {
      work.catch(() => {});
      return Promise.reject(signal.reason);
    }
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
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
