/** Processes of a chaos run, and those in namespaces, do not outlive the one that started them, whatever ended that. */
const INTERVAL_MS = 1000;

/** Calls `end` when another process has become this one's parent. */
export function endWithParent(end: () => void): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) end();
  }, INTERVAL_MS).unref();
}
