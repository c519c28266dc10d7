/** The bench's rows as people of this field read them: the columns of nccl-tests, then one for each contender. */
import type { AllReduceRow } from './all-reduce.js';

const COLUMNS = ['size', 'count', 'type', 'wire', 'time', 'algbw', 'busbw', '#wrong'] as const;
const UNITS = ['(B)', '(elements)', '', '', '(us)', '(GB/s)', '(GB/s)', ''] as const;
const WIDTH = 12;

const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(WIDTH)).join('');

/** Two lines: names and units. `peers` are the contenders asked for. */
export function formatAllReduceHeader(peers: readonly string[]): string {
  const names = [...COLUMNS, ...peers.flatMap((peer) => [peer, `${peer}/ours`])];
  const units = [...UNITS, ...peers.flatMap(() => ['(us)', '(ratio)'])];
  return `#${line(names).slice(1)}\n#${line(units).slice(1)}`;
}

export function formatAllReduceRow(row: AllReduceRow, peers: readonly string[]): string {
  const { bytes, wire, ms, algbwGBps, busbwGBps, wrong, peer } = row;
  const own = [`${bytes}`, `${bytes / 4}`, 'float', wire, microseconds(ms), algbwGBps.toFixed(2), busbwGBps.toFixed(2)];
  const others = peers.flatMap((name) =>
    peer[name] ? [microseconds(peer[name].ms), peer[name].ratio.toFixed(2)] : ['N/A', 'N/A'],
  );
  return line([...own, `${wrong}`, ...others]);
}

const microseconds = (ms: number): string => (ms * 1000).toFixed(1);
