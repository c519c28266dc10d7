/** Saves step after step until it is killed; says each step that is saved. Arguments: run directory, first step. */
import { saveCheckpoint } from '../../dist/index.js';
import { infoOfStep, stateOfStep } from './states.mjs';

const [runDir, first] = process.argv.slice(2);
for (let step = Number(first); ; step++) {
  await saveCheckpoint(runDir, stateOfStep(step, 200), infoOfStep(step), { keepLast: 2 });
  process.stdout.write(`${step}\n`);
}
