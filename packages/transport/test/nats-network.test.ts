import type { NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import type { Link } from '../src/link.js';
import { openNats } from '../src/nats-connection.js';
import { NatsGateway } from '../src/nats-gateway.js';
import { createNatsNetwork } from '../src/nats-network.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';

const PREFIX = 'coord.run';
const STATE = 'state';
const DIAL = { timeoutMs: 5000 };

describe.skipIf(natsServerProgram === undefined)(
  'a peer network over NATS (skipped where there is no nats-server)',
  () => {
    const gateways: NatsGateway[] = [];
    const servers: TestNatsServer[] = [];

    afterEach(async () => {
      await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
      await Promise.all(servers.splice(0).map((server) => server.stop('SIGKILL')));
    });

    const serve = async (port?: number): Promise<TestNatsServer> => {
      const server = await startNatsServer({ port });
      servers.push(server);
      return server;
    };

    const gatewayTo = async (url: string): Promise<NatsGateway> => {
      const gateway = await NatsGateway.open({ servers: url, timeoutMs: 5000 });
      gateways.push(gateway);
      return gateway;
    };

    it('gives a dial up as soon as its signal says so, and tells why', async () => {
      const { url } = await serve();
      const network = createNatsNetwork(await gatewayTo(url), PREFIX);
      const silent = await openNats({ servers: url, timeoutMs: 5000 });
      const peer = { natsSubject: 'coord.run.host.silent' };
      const asked = new Promise<void>((resolve) =>
        silent.subscribe(`${peer.natsSubject}.${STATE}`, { callback: () => resolve() }),
      );
      await silent.flush();
      const giveUp = new AbortController();
      const reason = new Error('another view');
      const dialing = network.dialLink(peer, STATE, { timeoutMs: 600_000, signal: giveUp.signal });
      await asked;
      giveUp.abort(reason);
      await expect(dialing).rejects.toMatchObject({ code: 'LINK_CLOSED', cause: reason });
      const late = network.dialLink(peer, STATE, { timeoutMs: 600_000, signal: giveUp.signal });
      await expect(late).rejects.toMatchObject({ code: 'LINK_CLOSED', cause: reason });
      await silent.close();
    });

    it('listens again after each loss of the server, and nowhere once it is closed', async () => {
      const first = await serve();
      const port = Number(new URL(first.url).port);
      const ends = [await gatewayTo(first.url), await gatewayTo(first.url)];
      const [listening, dialing] = ends.map((gateway) => createNatsNetwork(gateway, PREFIX));
      const taken: Link[] = [];
      listening.onLink(STATE, (link) => taken.push(link));
      const dial = async () => (await dialing.dialLink(listening.endpoint, STATE, DIAL)).close();
      await ends[0].connection.flush();
      await dial();
      for (let loss = 1; loss <= 3; loss++) {
        const back = ends.map(nextConnection);
        await servers.pop()?.stop('SIGKILL');
        await serve(port);
        const [toListen] = await Promise.all(back);
        // The server knows of the subscription.
        await toListen.flush();
        await dial();
        expect(taken).toHaveLength(1 + loss);
      }
      await listening.close();
      await expect(dial()).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('nobody') });
    });
  },
);

/** The one that a gateway makes by itself when it has lost what it has now. */
function nextConnection(gateway: NatsGateway): Promise<NatsConnection> {
  const before = gateway.connection;
  return new Promise((resolve) => {
    const forget = gateway.onConnection((connection) => {
      if (connection === before) return;
      forget();
      resolve(connection);
    });
  });
}
