import {
  ClosedConnectionError,
  ConnectionError,
  DrainingConnectionError,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from '@nats-io/transport-node';

const OF_CONNECTIONS = [ClosedConnectionError, ConnectionError, DrainingConnectionError, RequestError, TimeoutError];

/** True when nobody listens at the subject that was asked. */
export const isNoResponders = (error: unknown): boolean =>
  error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders());

/** True when the client gives up because of its connection: it is closed or closing, or nothing comes over it. */
export const isOfConnection = (error: unknown): error is Error => OF_CONNECTIONS.some((kind) => error instanceof kind);
