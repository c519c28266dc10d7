/** A process that dies by SIGKILL at a chosen file operation; a fatal write first writes half. */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

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
watch(fs, 'writeFile', (write, file, data, options) => write(file, data.slice(0, data.length / 2), options));
for (const name of ['mkdir', 'open', 'rename', 'rm', 'readdir']) watch(fs, name);
syncBuiltinESMExports();

/** @param {number} operations that still succeed */
export function dieAfter(operations) {
  left = operations;
}
