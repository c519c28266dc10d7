/** What several commands have in common. */

/** Receives the exit status of the command that ran. */
export type Exit = (code: number) => void;

export const examples = (...lines: string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;

export const JSON_FLAG = ['--json', 'one JSON object a line on stdout, and nothing else there'] as const;
export const VERBOSE_FLAG = ['--verbose', 'write the log to stderr as well'] as const;
export const SET_FLAG = ['--set <key.path=value>', 'override one key of the configuration; repeatable'] as const;
export const TOKEN_FLAG = ['--token <token>', 'the join token; also read from COORD_TOKEN'] as const;
