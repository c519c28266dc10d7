/** Files through which a chaos run speaks with what it has loaded into its processes (inside.ts). */
export const DIRECTORY_VARIABLE = 'COORD_CHAOS_DIRECTORY';

/** Milliseconds by which the wall clock of the process shall be wrong. */
export const clockFile = (pid: number): string => `clock-${pid}`;
/** What the process held when it was last asked. */
export const holdingsFile = (pid: number): string => `holdings-${pid}.json`;
