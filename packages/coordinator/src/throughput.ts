/** Samples a second over the last steps: smooth enough to read, quick enough to show a lost worker. */
const WINDOW = 20;
/** And over no less time, as soon as so much has passed: reports that had to wait come all at once. */
const WINDOW_MS = 1000;

export class Throughput {
  private readonly marks: { readonly atMs: number; readonly samples: number }[] = [];
  /** Of all marks but the first, from which time is counted. */
  private samples = 0;

  /** Called when training starts or starts again, so that the pause before is not counted. */
  restart(nowMs: number): void {
    this.marks.length = 0;
    this.marks.push({ atMs: nowMs, samples: 0 });
    this.samples = 0;
  }

  add(nowMs: number, samples: number): void {
    this.marks.push({ atMs: nowMs, samples });
    if (this.marks.length > 1) this.samples += samples;
    while (this.marks.length > WINDOW + 1 && nowMs - this.marks[1].atMs >= WINDOW_MS) {
      this.marks.shift();
      this.samples -= this.marks[0].samples;
    }
  }

  /** 0 until there is something to measure. */
  get samplesPerSecond(): number {
    const first = this.marks.at(0);
    const last = this.marks.at(-1);
    if (!first || !last || last.atMs <= first.atMs) return 0;
    return (this.samples / (last.atMs - first.atMs)) * 1000;
  }
}
