/** The one place where an error becomes something that a person, or a script, reads. */
import { CoordError, type ErrorFacts, EXIT_CODE, toErrorRecord } from '@coord/protocol';
import type { Colors } from './colors.js';
import { type CommandIo, writeJson, writeLine } from './io.js';

const shownFacts = (facts: ErrorFacts): [string, string][] =>
  Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));

/** Lines for a terminal: what happened, the facts that are not said already, what to do next. */
export function formatError(error: unknown, colors: Colors): string {
  if (!(error instanceof CoordError)) return formatUnexpected(error, colors);
  const lines = [`${colors.red('error:')} ${error.message}`];
  const said = `${error.message} ${error.hint ?? ''}`;
  const facts = shownFacts(error.facts).filter(([, value]) => !said.includes(value));
  if (facts.length > 0) lines.push(`  ${facts.map(([name, value]) => `${name}: ${value}`).join(' · ')}`);
  lines.push(`  ${colors.dim(`code: ${error.code}, exit status ${error.exitCode}`)}`);
  if (error.hint !== undefined) lines.push(`${colors.cyan('hint:')} ${error.hint}`);
  return lines.join('\n');
}

function formatUnexpected(error: unknown, colors: Colors): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `${colors.red('unexpected error:')} ${stack}\n${colors.cyan('hint:')} This is a bug in coord; please report it with the lines above.`;
}

export const exitCodeOf = (error: unknown): number =>
  error instanceof CoordError ? error.exitCode : EXIT_CODE.unexpected;

/** Prints the error (an object line on stdout with `json`) and returns the exit status that belongs to it. */
export function printError(error: unknown, options: { io: CommandIo; colors: Colors; json: boolean }): number {
  const { io, colors, json } = options;
  const exitCode = exitCodeOf(error);
  if (json) writeJson(io.stdout, { event: 'error', ...toErrorRecord(error), exitCode });
  else writeLine(io.stderr, formatError(error, colors));
  return exitCode;
}
