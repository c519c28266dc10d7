/** A coordinator that says what a test tells it to say, over links in memory. Its death cuts them; another may follow it. */
import {
  type CoordinatorMessage,
  createNonce,
  decodeMessage,
  encodeMessage,
  type Hello,
  helloSchema,
  joinProof,
  PROTOCOL_VERSION,
  type RunSpec,
  runSpecSchema,
  type WorkerMessage,
  workerMessageSchema,
} from '@coord/protocol';
import { createLinkPair, type Link, type MemoryLink } from '@coord/transport';

export const TOKEN = 'a-token';

const SHA256 = '0'.repeat(64);

export const testRun = (changes: Partial<RunSpec> = {}): RunSpec => ({
  ...runSpecSchema.parse({
    runId: 'run',
    configSha256: SHA256,
    seed: 7,
    model: { name: 'mlp', topology: '{}' },
    loss: 'categoricalCrossentropy',
    optimizer: { name: 'sgd' },
    schedule: { name: 'constant' },
    regularization: {},
    batch: { grains: 4, grainSize: 4 },
    epochs: 2,
    evaluation: { batchSize: 16, everyEpochs: 1 },
    checkpoint: { everySteps: 0, everyEpochs: 0 },
    engine: { name: 'auto', threads: 1 },
    nonFinite: 'error',
    ring: { overlap: 'auto', bucketBytes: 8 * 1024 * 1024, wire: 'int32' },
    data: {
      name: 'tiny',
      fields: [{ name: 'x', role: 'input', shape: [4], storage: 'uint8', dtype: 'float32' }],
      train: { samples: 64, samplesPerBlock: 64, blocks: [{ sha256: SHA256, samples: 64, bytes: 1000 }] },
    },
  }),
  ...changes,
});

export interface Script {
  readonly protocolVersion?: number;
  readonly run?: RunSpec;
  readonly workerId?: string;
  readonly settledStep?: number;
  readonly token?: string;
  /** Accepts the connection and never says a word. */
  readonly mute?: boolean;
}

export class ScriptedCoordinator {
  readonly heard: WorkerMessage[] = [];
  hello: Hello | undefined;
  #link: MemoryLink | undefined;

  constructor(private readonly script: Script = {}) {}

  /** The worker's end of a new link. */
  accept(): Link {
    const [workerEnd, ownEnd] = createLinkPair();
    this.#link = ownEnd;
    if (!this.script.mute) this.#serve(ownEnd).catch(() => {});
    return workerEnd;
  }

  say(message: CoordinatorMessage): void {
    void this.#link?.send(encodeMessage(message));
  }

  die(): void {
    this.#link?.cut();
  }

  async #serve(link: Link): Promise<void> {
    const { run = testRun(), workerId = 'w1', settledStep = 0, token = TOKEN } = this.script;
    const { protocolVersion = PROTOCOL_VERSION } = this.script;
    const serverNonce = createNonce();
    this.say({ type: 'challenge', protocolVersion, serverNonce });
    const hello = decodeMessage(helloSchema, await link.receive(), { from: 'worker' });
    this.hello = hello;
    const proof = joinProof(token, 'coordinator', { serverNonce, clientNonce: hello.clientNonce });
    const timings = { heartbeatIntervalMs: 500, ringTimeoutMs: 1000 };
    this.say({ type: 'welcome', proof, workerId, run, settledStep, ...timings });
    for (;;) this.heard.push(decodeMessage(workerMessageSchema, await link.receive(), { from: 'worker' }));
  }
}
