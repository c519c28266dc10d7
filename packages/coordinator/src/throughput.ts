/** Samples a second over the last steps: smooth enough to read, quick enough to show a lost worker. */
const WINDOW = 20;

export class Throughput {
  private readonly marks: { readonly atMs: number; readonly samples: number }[] = [];

  /** Called when training starts or starts again, so that the pause before is not counted. */
  restart(nowMs: number): void {
    this.marks.length = 0;
    this.marks.push({ atMs: nowMs, samples: 0 });
  }

  add(nowMs: number, samples: number): void {
    this.marks.push({ atMs: nowMs, samples });
    if (this.marks.length > WINDOW + 1) this.marks.shift();
  }

  /** 0 until there is something to measure. */
  get samplesPerSecond(): number {
    const first = this.marks.at(0);
    const last = this.marks.at(-1);
    if (!first || !last || last.atMs <= first.atMs) return 0;
    const samples = this.marks.slice(1).reduce((sum, mark) => sum + mark.samples, 0);
    return (samples / (last.atMs - first.atMs)) * 1000;
  }
}
