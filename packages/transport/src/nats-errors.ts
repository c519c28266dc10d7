import {
  AuthorizationError,
  ClosedConnectionError,
  ConnectionError,
  DrainingConnectionError,
  RequestError,
  TimeoutError,
} from '@nats-io/transport-node';

const OF_CONNECTIONS = [ClosedConnectionError, ConnectionError, DrainingConnectionError, RequestError, TimeoutError];

/** True when the server does not want this client; one that was merely too slow to say who it is may come again. */
export const isRefusal = (error: unknown): error is Error =>
  error instanceof AuthorizationError && !/timeout/i.test(error.message);

/** True when the client gives up because of its connection: it is closed or closing, or nothing comes over it. */
export const isOfConnection = (error: unknown): error is Error => OF_CONNECTIONS.some((kind) => error instanceof kind);
