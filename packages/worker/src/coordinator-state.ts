/** States that go to the coordinator, for checkpoints, and that come from it, where no peer has one. */
import type { StateMessage } from '@coord/protocol';
import type { CoordinatorSession } from './coordinator-session.js';
import type { HostState } from './host-state.js';
import { StateReceiver, sendState } from './state-transfer.js';

export async function uploadState(session: CoordinatorSession, state: HostState): Promise<void> {
  await sendState(await state.snapshot(), (message) => session.send(message));
}

/** @throws CoordError LINK_CLOSED and the like when the coordinator is lost on the way, and what StateReceiver throws. */
export function fetchState(session: CoordinatorSession, state: HostState): Promise<void> {
  const { replica: received } = state.createSpare();
  const receiver = new StateReceiver(received, 'the coordinator');
  return new Promise((resolve, reject) => {
    session.requestState((message: StateMessage) => {
      try {
        const step = receiver.accept(message);
        if (step === undefined) return;
        state.replace({ ...received, step }, receiver.weightsSha256);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
    session.onLost(reject);
  });
}
