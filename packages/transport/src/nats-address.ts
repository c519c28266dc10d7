/** Address of a NATS server and of a run behind it: `nats://HOST[:PORT][/RUN]`. Credentials come separately: addresses are shown. */
import { CoordError } from '@coord/protocol';

const DEFAULT_PORT = 4222;
/** One token of a subject: no dots, wildcards or blanks. */
const RUN = /^[A-Za-z0-9_-]{1,128}$/;

export type NatsCredentials = { readonly user: string; readonly pass: string } | { readonly token: string };

export interface NatsAddress {
  /** `HOST:PORT`. */
  readonly server: string;
  /** Scheme `nats+tls`: the connection to the server is encrypted, and its certificate checked by the system's authorities. */
  readonly tls: boolean;
  readonly credentials: NatsCredentials | undefined;
  /** Run whose coordinator is meant; undefined where the address names none. */
  readonly run: string | undefined;
}

export const isNatsAddress = (text: string): boolean => /^nats(\+tls)?:\/\//i.test(text);

/**
 * @param credentials `USER:PASSWORD` or `TOKEN`.
 * @throws CoordError USAGE
 */
export function parseNatsAddress(text: string, credentials?: string): NatsAddress {
  if (!isNatsAddress(text) || !URL.canParse(text)) throw noAddress(text);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') throw secretInAddress();
  const run = url.pathname.replace(/^\//, '');
  if (url.hostname === '' || (run !== '' && !RUN.test(run))) throw noAddress(text);
  return {
    server: `${url.hostname}:${url.port || DEFAULT_PORT}`,
    tls: url.protocol === 'nats+tls:',
    credentials: readCredentials(credentials),
    run: run === '' ? undefined : run,
  };
}

export const natsUrl = ({ server, tls }: NatsAddress, run?: string): string =>
  `${tls ? 'nats+tls' : 'nats'}://${server}${run === undefined ? '' : `/${run}`}`;

/** Root of a run's subjects. @throws CoordError USAGE when the run's id cannot stand in a subject. */
export function subjectPrefix(runId: string): string {
  if (RUN.test(runId)) return `coord.${runId}`;
  throw new CoordError('USAGE', `the run id "${runId}" cannot stand in a NATS subject`, {
    hint: 'Use letters, digits, dashes and underscores.',
    facts: { runId },
  });
}

function readCredentials(text: string | undefined): NatsCredentials | undefined {
  if (text === undefined || text === '') return undefined;
  const colon = text.indexOf(':');
  return colon < 0 ? { token: text } : { user: text.slice(0, colon), pass: text.slice(colon + 1) };
}

/** The text is not repeated: it holds a secret. */
const secretInAddress = (): CoordError =>
  new CoordError('USAGE', "a NATS server's address must not hold a password: it is shown, logged and stored", {
    hint: 'Set COORD_NATS_CREDENTIALS to USER:PASSWORD or TOKEN instead.',
  });

const noAddress = (text: string): CoordError =>
  new CoordError('USAGE', `${text} is no address of a NATS server`, {
    hint: 'It looks like nats://192.0.2.7:4222 or nats://192.0.2.7:4222/RUN; nats+tls:// for an encrypted connection.',
  });
