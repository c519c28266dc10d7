/** Who came back from before this start: a value that is known once the window for it is closed. */
import type { FormerWorker } from './past.js';

export class Returns {
  readonly promise: Promise<readonly FormerWorker[]>;
  /** Once; later calls change nothing. */
  readonly end: (back: readonly FormerWorker[]) => void;

  constructor() {
    let resolve: (back: readonly FormerWorker[]) => void = () => {};
    this.promise = new Promise((settle) => {
      resolve = settle;
    });
    this.end = (back) => resolve(back);
  }
}
