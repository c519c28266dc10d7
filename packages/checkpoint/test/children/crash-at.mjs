/**
 * Saves steps 1 and 2, then step 3, and dies by SIGKILL at one chosen file operation of the third; a fatal write first
 * writes half. Arguments: run directory, number of operations that still succeed.
 */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { saveCheckpoint } from '../../dist/index.js';
import { infoOfStep, stateOfStep } from './states.mjs';

const [runDir, operations] = process.argv.slice(2);
const save = (step) => saveCheckpoint(runDir, stateOfStep(step), infoOfStep(step), { keepLast: 2 });

let left = Number.POSITIVE_INFINITY;
async function countDown(lastAct) {
  if (left-- > 0) return;
  await lastAct?.();
  process.kill(process.pid, 'SIGKILL');
}

function watch(object, name, lastAct = () => undefined) {
  const original = object[name];
  object[name] = async function (...values) {
    await countDown(() => lastAct.call(this, original, ...values));
    return original.apply(this, values);
  };
}

const handle = await fs.open(process.argv[1]);
const prototype = Object.getPrototypeOf(handle);
await handle.close();
watch(prototype, 'write', function (write, piece, at, length) {
  return write.call(this, piece, at, Math.floor(length / 2));
});
watch(prototype, 'sync');
for (const name of ['mkdir', 'open', 'rename', 'rm', 'readdir']) watch(fs, name);
syncBuiltinESMExports();

await save(1);
await save(2);
left = Number(operations);
await save(3);
