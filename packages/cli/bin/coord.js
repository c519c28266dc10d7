#!/usr/bin/env node
import { outliveOutput, processIo } from '../dist/io.js';
import { main } from '../dist/main.js';

/** Whatever still holds the process so long after its command is done is not worth waiting for. */
const LINGER_MS = 1000;

const statusOf = outliveOutput();
process.exitCode = await statusOf(await main(process.argv.slice(2), processIo()));
setTimeout(() => process.exit(), LINGER_MS).unref();
