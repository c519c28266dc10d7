import { afterEach, describe, expect, it } from 'vitest';
import type { Link } from '../src/link.js';
import { openNats } from '../src/nats-connection.js';
import { NatsGateway } from '../src/nats-gateway.js';
import { createNatsNetwork } from '../src/nats-network.js';
import type { PeerNetwork } from '../src/peer-network.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';

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

    const networkAt = async (url: string): Promise<PeerNetwork> => {
      const gateway = await NatsGateway.open({ servers: url, timeoutMs: 5000 });
      gateways.push(gateway);
      return createNatsNetwork(gateway, 'coord.run');
    };

    it('gives a dial up as soon as its signal says so, and tells why', async () => {
      const { url } = await serve();
      const [network, silent] = [await networkAt(url), await openNats({ servers: url, timeoutMs: 5000 })];
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
      const [listening, dialing] = [await networkAt(first.url), await networkAt(first.url)];
      const taken: Link[] = [];
      listening.onLink(STATE, (link) => taken.push(link));
      for (let round = 1; round <= 3; round++) {
        const link = await dialUntilThere(dialing, listening);
        await link.close();
        expect(taken).toHaveLength(round);
        await servers.pop()?.stop('SIGKILL');
        await serve(port);
      }
      await (await dialUntilThere(dialing, listening)).close();
      await listening.close();
      const nobody = dialing.dialLink(listening.endpoint, STATE, DIAL);
      await expect(nobody).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('nobody') });
    });
  },
);

/** The gateways of both ends come back by themselves, each when it can. */
async function dialUntilThere(from: PeerNetwork, to: PeerNetwork): Promise<Link> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await from.dialLink(to.endpoint, STATE, DIAL);
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
