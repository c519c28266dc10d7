/**
 * The control plane alone, with many workers: one view takes them all in, and another one follows when one of them is lost. What it
 * costs, for a thousand: npm run bench:membership.
 */
import {
  coordinatorMessageSchema,
  createToken,
  decodeMessage,
  encodeMessage,
  type WorkerMessage,
} from '@coord/protocol';
import { createLinkPair, type MemoryLink } from '@coord/transport';
import { describe, expect, it } from 'vitest';
import { FakeClock } from './fake-clock.js';
import { testRun } from './fixtures.js';
import { helloTo, MemoryLedger, openControlPlane } from './simulation.js';

const COUNT = Number(process.env.COORD_SCALE_WORKERS ?? 100);
/** The door takes no more strangers at a time. */
const BATCH = 50;

const READY: WorkerMessage = {
  type: 'ready',
  endpoint: { host: '192.0.2.1', port: 4000 },
  identity: { engine: 'simulated', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 },
  step: 0,
  share: 1,
  workers: 1,
};

/** Says what the protocol wants. Views are only looked at when a test asks: what workers do with them is their own cost. */
class ScriptedWorker {
  private frames: Uint8Array[] = [];

  constructor(
    readonly link: MemoryLink,
    private readonly token: string,
  ) {
    this.run().catch(() => {});
  }

  /** Views that have come since the last call, as `GENERATION of MEMBERS`, and the bytes of them all. */
  views(): { readonly seen: string; readonly sizeBytes: number } {
    const frames = this.frames.splice(0);
    const views = frames.map(read).flatMap((message) => (message.type === 'view' ? [message.view] : []));
    return {
      seen: views.map(({ generation, members }) => `${generation} of ${members.length}`).join(),
      sizeBytes: frames.reduce((sum, { byteLength }) => sum + byteLength, 0),
    };
  }

  private async run(): Promise<void> {
    const challenge = read(await this.link.receive());
    if (challenge.type === 'challenge') this.say(helloTo(challenge.serverNonce, this.token, 'worker'));
    const welcome = read(await this.link.receive());
    if (welcome.type === 'welcome') this.say(READY);
    for (;;) this.frames.push(await this.link.receive());
  }

  private say(message: object): void {
    void this.link.send(encodeMessage(message));
  }
}

const read = (frame: Uint8Array) => decodeMessage(coordinatorMessageSchema, frame, { from: 'coordinator' });

const all = (workers: readonly ScriptedWorker[]) => [...new Set(workers.map((worker) => worker.views().seen))];

const settle = async (): Promise<void> => {
  for (let round = 0; round < 10; round++) await new Promise((resolve) => setImmediate(resolve));
};

async function measured(action: () => void | Promise<void>): Promise<number> {
  const startMs = performance.now();
  await action();
  await settle();
  return performance.now() - startMs;
}

describe(`a control plane with ${COUNT} workers`, () => {
  it('forms one view of all, and another one without the one that is lost', { timeout: 300_000 }, async () => {
    const [clock, token, ledger] = [new FakeClock(), createToken(), new MemoryLedger()];
    const { conductor, door } = openControlPlane({ run: testRun(), minWorkers: COUNT, clock, token, ledger });
    conductor.finished.catch(() => {});
    const workers: ScriptedWorker[] = [];
    const joinMs = await measured(async () => {
      while (workers.length < COUNT) {
        for (let left = Math.min(BATCH, COUNT - workers.length); left > 0; left--) {
          const [ours, theirs] = createLinkPair();
          workers.push(new ScriptedWorker(theirs, token));
          void door(ours);
        }
        await settle();
      }
    });
    const viewMs = await measured(() => clock.advance(400));
    expect(all(workers)).toEqual([`1 of ${COUNT}`]);
    const lost = workers.splice(7, 1)[0];
    const lossMs = await measured(() => lost.link.cut());
    const { seen, sizeBytes: viewBytes } = workers[0].views();
    expect([seen, ...all(workers.slice(1))]).toEqual(Array.from({ length: 2 }, () => `2 of ${COUNT - 1}`));
    expect(ledger.entries.filter(({ type }) => type === 'view')).toHaveLength(2);
    await conductor.close();
    const report = { workers: COUNT, joinMs, viewMs, lossMs, viewBytes };
    if (process.env.COORD_SCALE_WORKERS !== undefined) process.stdout.write(`${JSON.stringify(report)}\n`);
  });
});
