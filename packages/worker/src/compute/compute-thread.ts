/**
 * A compute thread: the only place of a host where a tensor library runs. It blocks for the length of a grain, which is why
 * links, heartbeats and the all-reduce live on another thread.
 */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { createEngine } from '@coord/engine';
import { toErrorRecord } from '@coord/protocol';
import { createComputeWork } from './compute-work.js';
import type { ComputeRequest } from './requests.js';

const port = parentPort as MessagePort;
const answer = createComputeWork(createEngine);

port.on('message', async ({ id, request }: { id: number; request: ComputeRequest }) => {
  try {
    port.postMessage({ id, response: await answer(request, (progress) => port.postMessage({ id, progress })) });
  } catch (error) {
    port.postMessage({ id, error: toErrorRecord(error) });
  }
});
