/**
 * Saves steps 1 and 2, then step 3, and dies by SIGKILL at one chosen file operation of the third. Arguments: run directory,
 * number of operations that still succeed.
 */
import { dieAfter } from '../../../disk/test/children/die-at.mjs';
import { saveCheckpoint } from '../../dist/index.js';
import { infoOfStep, stateOfStep } from './states.mjs';

const [runDir, operations] = process.argv.slice(2);
const save = (step) => saveCheckpoint(runDir, stateOfStep(step), infoOfStep(step), { keepLast: 2 });

await save(1);
await save(2);
dieAfter(Number(operations));
await save(3);
