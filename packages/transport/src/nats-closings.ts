/**
 * Who wants to know when a connection to a NATS server ends. A promise keeps all that was ever asked of it, and a connection
 * outlives thousands of links.
 */
import type { NatsConnection } from '@nats-io/transport-node';

const waiting = new WeakMap<NatsConnection, Set<() => void>>();

/** Calls `act` when the connection is closed. @returns a function that takes the wish back; then nothing is held any more. */
export function whenClosed(connection: NatsConnection, act: () => void): () => void {
  const actions = waiting.get(connection) ?? watch(connection);
  actions.add(act);
  return () => void actions.delete(act);
}

function watch(connection: NatsConnection): Set<() => void> {
  const actions = new Set<() => void>();
  waiting.set(connection, actions);
  void connection.closed().then(() => {
    for (const act of [...actions]) act();
  });
  return actions;
}
