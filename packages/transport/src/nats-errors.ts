import { NoRespondersError, RequestError } from '@nats-io/transport-node';

/** True when nobody listens at the subject that was asked. */
export const isNoResponders = (error: unknown): boolean =>
  error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders());
