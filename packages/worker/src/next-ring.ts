/**
 * The ring of the newest view. It is opened as soon as the view is known, though this host may still compute a grain of the step in
 * progress: the others need its links, and hear on them that it lives. A view that has passed takes its ring with it.
 */
import type { Ring } from '@coord/ring';
import type { ActiveView } from './membership.js';

interface Opening {
  readonly active: ActiveView;
  readonly ring: Promise<Ring>;
}

export class NextRing {
  #opening: Opening | undefined;

  constructor(private readonly open: (active: ActiveView) => Promise<Ring>) {}

  prepare(active: ActiveView): void {
    const ring = this.open(active);
    ring.catch(() => {}); // whoever takes it hears of it
    this.#opening = { active, ring };
  }

  /** Whose ring it then is. @throws CoordError RING_BROKEN, LINK_TIMEOUT, VIEW_CHANGED. */
  take(active: ActiveView): Promise<Ring> {
    const opening = this.#opening;
    // Another view may have come since this one was taken: its ring stays, or its links would be opened twice.
    if (opening?.active !== active) return this.open(active);
    this.#opening = undefined;
    return opening.ring;
  }

  /** Closes what nobody has taken. */
  async close(): Promise<void> {
    const ring = await this.#opening?.ring.catch(() => undefined);
    await ring?.close();
  }
}
