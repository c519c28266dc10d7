/** From a grain to its batch: positions → sample numbers (the epoch's order) → decoded arrays. Reads ahead. */
import { type BatchReader, type SampleOrder, sampleOrder } from '@coord/data';
import type { Batch, Grain } from '@coord/protocol';

export class GrainLoader {
  readonly #ahead = new Map<string, Promise<Batch>>();
  #order: { epoch: number; order: SampleOrder } | undefined;

  constructor(
    private readonly reader: BatchReader,
    private readonly seed: number,
    private readonly samples: number,
  ) {}

  /** Starts to read `grains`; what was read ahead for others and never taken is forgotten. */
  prefetch(grains: readonly Grain[]): void {
    const wanted = new Map(grains.map((grain) => [keyOf(grain), grain]));
    for (const key of this.#ahead.keys()) if (!wanted.has(key)) this.#ahead.delete(key);
    for (const [key, grain] of wanted) {
      if (this.#ahead.has(key)) continue;
      const reading = this.#read(grain);
      reading.catch(() => undefined); // `take` reports it
      this.#ahead.set(key, reading);
    }
  }

  /** @throws CoordError BLOCK_CORRUPT, BLOCK_UNAVAILABLE, COORDINATOR_LOST. */
  take(grain: Grain): Promise<Batch> {
    const key = keyOf(grain);
    const reading = this.#ahead.get(key) ?? this.#read(grain);
    this.#ahead.delete(key);
    return reading;
  }

  #read(grain: Grain): Promise<Batch> {
    const order = this.#orderOf(grain.epoch);
    return this.reader.read(Array.from({ length: grain.count }, (_, i) => order.at(grain.position + i)));
  }

  #orderOf(epoch: number): SampleOrder {
    if (this.#order?.epoch !== epoch) this.#order = { epoch, order: sampleOrder(this.seed, epoch, this.samples) };
    return this.#order.order;
  }
}

const keyOf = ({ epoch, position, count }: Grain): string => `${epoch}:${position}:${count}`;
