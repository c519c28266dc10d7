/** Channel binding: a name for the encrypted channel that a socket is an end of. */
import { TLSSocket } from 'node:tls';

/** Type `tls-exporter` of RFC 9266. */
const LABEL = 'EXPORTER-Channel-Binding';
const BINDING_BYTES = 32;

/** The same at both ends of one TLS channel; empty where there is none. */
export const channelBindingOf = (socket: object): string =>
  socket instanceof TLSSocket
    ? socket.exportKeyingMaterial(BINDING_BYTES, LABEL, Buffer.alloc(0)).toString('base64url')
    : '';
