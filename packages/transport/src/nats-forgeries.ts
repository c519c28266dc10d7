/** Who wants to know of messages on a connection's subjects that nobody of the run has made. They are dropped; where there are many, somebody tries. */
import type { NatsConnection } from '@nats-io/transport-node';

/** @param from at whose place it was, as text for people. */
export type OnForgery = (from: string) => void;

/** Tells of the first, the tenth, the hundredth …: whoever floods with them fills no log. */
export function countForgeries(tell: (messages: number, from: string) => void): OnForgery {
  let [messages, due] = [0, 1];
  return (from) => {
    if (++messages < due) return;
    due *= 10;
    tell(messages, from);
  };
}

const watching = new WeakMap<NatsConnection, OnForgery>();

export const onForgeries = (connection: NatsConnection, act: OnForgery): void => void watching.set(connection, act);

export const noteForgery = (connection: NatsConnection, from: string): void => watching.get(connection)?.(from);
