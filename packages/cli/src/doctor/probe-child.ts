/**
 * A process that tries one engine and tells its parent how it went. Native libraries may crash or hang; then the parent is
 * what remains to say so.
 */
import { createEngine, measureSpeed, requireAgreement } from '@coord/engine';
import { systemClock, toErrorRecord } from '@coord/protocol';
import type { ProbeAnswer, ProbeQuestion } from './probe.js';

async function answer({ engine: name, benchMs }: ProbeQuestion): Promise<ProbeAnswer> {
  try {
    const engine = await createEngine({ name, threads: 1 });
    const gradientError = await requireAgreement(engine);
    const speed = benchMs > 0 ? await measureSpeed(engine, benchMs, systemClock) : undefined;
    return { works: true, identity: engine.identity, gradientError, speed };
  } catch (error) {
    return { works: false, error: toErrorRecord(error) };
  }
}

process.once('message', async (question: ProbeQuestion) => {
  const found = await answer(question);
  // Libraries of GPUs keep threads that would hold the process.
  process.send?.(found, () => process.exit(0));
});
