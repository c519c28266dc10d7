/** A bench over Unix-domain sockets that lasts; says so when its ranks are linked. */
import { benchAllReduce } from '../dist/bench/index.js';

const sizes = [4, ...Array.from({ length: 1000 }, () => 65_536)];
const onRow = () => process.stdout.write('running\n');
await benchAllReduce({ ranks: 2, sizes, transport: 'uds', rounds: 1, turnMs: 50, against: [], onRow });
