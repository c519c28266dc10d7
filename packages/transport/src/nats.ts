/** Links over NATS; a subpath, so that the client is loaded only where it is used. */
export { type NatsOpenOptions, openNats } from './nats-connection.js';
export {
  connectNatsLink,
  listenNatsLinks,
  type NatsConnectOptions,
  type NatsListenOptions,
  type NatsMeta,
} from './nats-rendezvous.js';
export { acceptNatsSegments, dialNatsSegments, type NatsSegmentOptions } from './nats-segments.js';
