/** A worker that says what a test tells it to say, over a real socket. */
import {
  type CoordinatorMessage,
  type CoordinatorMessageOf,
  coordinatorMessageSchema,
  createNonce,
  decodeMessage,
  encodeMessage,
  type Hello,
  headerOf,
  isJoinProof,
  joinProof,
  PROTOCOL_VERSION,
  stateSections,
  type TrainingState,
  type WorkerMessage,
} from '@coord/protocol';
import { connectLink, type Link } from '@coord/transport';
import { hashAt, stepReport } from './fixtures.js';

type Returns = Hello['returns'];

export class ScriptedWorker {
  /** Messages that came while another type was awaited. */
  private readonly kept: CoordinatorMessage[] = [];
  workerId = '';
  generation = 0;
  /** What the coordinator said that it has on record. */
  settledStep = 0;

  constructor(
    readonly link: Link,
    readonly name: string,
  ) {}

  static async connect(url: string, name = 'scripted'): Promise<ScriptedWorker> {
    return new ScriptedWorker(await connectLink(`${url}/join`, { timeoutMs: 5000 }), name);
  }

  /** Joins like a real worker and checks the coordinator's own proof. */
  static async join(url: string, token: string, name = 'scripted', returns?: Returns): Promise<ScriptedWorker> {
    const worker = await ScriptedWorker.connect(url, name);
    const clientNonce = await worker.sayHello(token, PROTOCOL_VERSION, returns);
    const welcome = await worker.next('welcome');
    const { channelBinding } = worker.link;
    const nonces = { serverNonce: worker.serverNonce, clientNonce, channelBinding };
    if (!isJoinProof(welcome.proof, token, 'coordinator', nonces)) throw new Error('the coordinator proved nothing');
    worker.workerId = welcome.workerId;
    worker.settledStep = welcome.settledStep;
    return worker;
  }

  serverNonce = '';

  async sayHello(token: string, protocolVersion = PROTOCOL_VERSION, returns?: Returns): Promise<string> {
    this.serverNonce = (await this.next('challenge')).serverNonce;
    const clientNonce = createNonce();
    const { channelBinding } = this.link;
    const proof = joinProof(token, 'worker', { serverNonce: this.serverNonce, clientNonce, channelBinding });
    const hello = { type: 'hello', protocolVersion, proof, clientNonce, name: this.name, hostName: 'test', pid: 1 };
    await this.link.send(encodeMessage({ ...hello, returns }));
    return clientNonce;
  }

  send(message: WorkerMessage): Promise<void> {
    return this.link.send(encodeMessage(message));
  }

  ready(changes: { step?: number; share?: number; port?: number } = {}): Promise<void> {
    const { step, share = 1, port = 4000 } = changes;
    const identity = { engine: 'scripted', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
    return this.send({ type: 'ready', endpoint: { host: '127.0.0.1', port }, identity, step, share, workers: 1 });
  }

  /** The next message of this type; others stay for later calls. */
  async next<T extends CoordinatorMessage['type']>(type: T): Promise<CoordinatorMessageOf<T>> {
    const at = this.kept.findIndex((message) => message.type === type);
    if (at >= 0) return this.kept.splice(at, 1)[0] as CoordinatorMessageOf<T>;
    for (;;) {
      const message = decodeMessage(coordinatorMessageSchema, await this.link.receive(), { from: 'coordinator' });
      if (message.type === type) return message as CoordinatorMessageOf<T>;
      this.kept.push(message);
    }
  }

  async nextView(): Promise<CoordinatorMessageOf<'view'>['view']> {
    const { view } = await this.next('view');
    this.generation = view.generation;
    return view;
  }

  report(step: number, fault = 0): Promise<void> {
    return this.send(stepReport(step, { generation: this.generation, weightsSha256: hashAt(step, fault) }));
  }

  finish(step: number, stopped = false, fault = 0): Promise<void> {
    return this.send({ type: 'finished', step, weightsSha256: hashAt(step, fault), stopped });
  }

  /** Answers a state-request that has been read. `chunkBytes` cuts sections at any place. */
  async upload(state: TrainingState, header = headerOf(state), chunkBytes = 1000): Promise<void> {
    await this.send({ type: 'state-begin', header });
    for (const section of stateSections(state)) {
      for (let at = 0; at < section.length; at += chunkBytes) {
        await this.send({ type: 'state-chunk', data: section.subarray(at, at + chunkBytes) });
      }
    }
    await this.send({ type: 'state-end' });
  }

  /** Tears the connection: no goodbye. */
  close(): Promise<void> {
    return this.link.close('the test is over');
  }
}

export const reportAll = (workers: readonly ScriptedWorker[], step: number): Promise<unknown> =>
  Promise.all(workers.map((worker) => worker.report(step)));

export const finishAll = (workers: readonly ScriptedWorker[], step: number, stopped = false): Promise<unknown> =>
  Promise.all(workers.map((worker) => worker.finish(step, stopped)));
