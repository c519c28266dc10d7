/**
 * Strangers: connections in the middle of the handshake. Their number bounds what unproven peers can make us hold; where one more
 * comes, another gives way. A worker is done in a moment, so it is not the one that has waited longest of the busiest address.
 */
import { CoordError } from '@coord/protocol';
import { longestOfBusiest } from '@coord/transport';
import { networkOf } from './access/failed-attempts.js';

const MAX_STRANGERS = 64;

interface Stranger {
  readonly network: string;
  giveWay(): void;
}

export class Strangers {
  readonly #waiting = new Set<Stranger>();

  /**
   * Settles as the handshake does.
   *
   * @param address where the transport says it.
   * @throws CoordError COORDINATOR_BUSY where this one has to give way.
   */
  wait<T>(remote: string, address: string | undefined, handshake: () => Promise<T>): Promise<T> {
    if (this.#waiting.size >= MAX_STRANGERS) longestOfBusiest(this.#waiting, ({ network }) => network)?.giveWay();
    return new Promise((resolve, reject) => {
      const stranger: Stranger = {
        network: networkOf(address ?? ''),
        giveWay: () => {
          this.#waiting.delete(stranger);
          reject(crowded(remote));
        },
      };
      this.#waiting.add(stranger);
      handshake()
        .then(resolve, reject)
        .finally(() => this.#waiting.delete(stranger));
    });
  }
}

const crowded = (remote: string): CoordError =>
  new CoordError('COORDINATOR_BUSY', `${remote} has to wait: ${MAX_STRANGERS} connections are joining already`, {
    facts: { remote },
    hint: 'Try again in a few seconds.',
  });
