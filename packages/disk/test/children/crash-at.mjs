/** Replaces a file and dies on the way. Arguments: file, its new text, number of file operations that still succeed. */
import { replaceFile } from '../../dist/index.js';
import { dieAfter } from './die-at.mjs';

const [file, text, operations] = process.argv.slice(2);
dieAfter(Number(operations));
await replaceFile(file, text, { mode: 0o600 });
