/** A process of a chaos run does not outlive the one that started it, whatever ended that. */
const INTERVAL_MS = 1000;

/** Calls `end` when another process has become this one's parent. */
export function endWithParent(end: () => void): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) end();
  }, INTERVAL_MS).unref();
}
