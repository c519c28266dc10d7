/** States that go to the coordinator, for checkpoints, and that come from it, where no peer has one. */
import type { StateMessage } from '@coord/protocol';
import type { CoordinatorSession } from './coordinator-session.js';
import type { HostState } from './host-state.js';
import { StateReceiver, sendState } from './state-transfer.js';

export async function uploadState(session: CoordinatorSession, state: HostState): Promise<void> {
  await sendState(await state.snapshot(), (message) => session.send(message));
}

/** @throws CoordError LINK_CLOSED and the like when the coordinator is lost on the way, and what StateReceiver throws. */
export async function fetchState(session: CoordinatorSession, state: HostState): Promise<void> {
  const { replica: received } = state.createSpare();
  const receiver = new StateReceiver(received, 'the coordinator');
  const whole = new Promise<void>((resolve, reject) => {
    session.requestState((message: StateMessage) => {
      try {
        if (receiver.accept(message)) resolve();
      } catch (error) {
        reject(error);
      }
    });
    session.onLost(reject);
  });
  await whole;
  const step = await receiver.verified();
  await state.mutate(async () => state.replace({ ...received, step }, receiver.weightsSha256));
}
