/** Links over NATS; a subpath, so that the client is loaded only where it is used. */
export {
  isNatsAddress,
  type NatsAddress,
  natsUrl,
  parseNatsAddress,
  subjectPrefix,
} from './nats-address.js';
export { type NatsOpenOptions, openNats } from './nats-connection.js';
export { deniedError } from './nats-errors.js';
export { countForgeries } from './nats-forgeries.js';
export { NatsGateway } from './nats-gateway.js';
export { createNatsNetwork } from './nats-network.js';
export {
  connectNatsLink,
  listenNatsLinks,
  type NatsConnectOptions,
  type NatsListenOptions,
} from './nats-rendezvous.js';
export { acceptNatsSegments, dialNatsSegments, type NatsSegmentOptions } from './nats-segments.js';
export { announceRun, findRun } from './nats-whereabouts.js';
