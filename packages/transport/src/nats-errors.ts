import { CoordError } from '@coord/protocol';
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

/** The server does not let this client do what a run needs: nobody need try again. */
export const deniedError = (cause: Error): CoordError =>
  new CoordError('NATS_DENIED', `the NATS server does not allow what the run needs: ${cause.message}`, {
    hint: 'Let its user publish and subscribe at coord.RUN.>, coord.whereabouts and coord.whereabouts.>, and look at max_subscriptions in the configuration of that server.',
    cause,
  });
