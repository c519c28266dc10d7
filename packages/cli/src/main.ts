/** Runs one command line to its exit status. */
import { CoordError, EXIT_CODE } from '@coord/protocol';
import { type Command, CommanderError } from 'commander';
import { colorsFor } from './colors.js';
import type { CommandIo } from './io.js';
import { printError } from './print-error.js';
import { createProgram } from './program.js';

export async function main(argv: readonly string[], io: CommandIo): Promise<number> {
  let exitCode: number = EXIT_CODE.ok;
  let complaint = '';
  const program = createProgram(
    io,
    (code) => {
      exitCode = code;
    },
    (text) => {
      complaint += text;
    },
  );
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_CODE.ok;
    if (error instanceof CommanderError && error.code === 'commander.help') {
      // A command of commands was given alone: what is missing is all that its help says.
      io.stderr.write(complaint);
      return EXIT_CODE.usage;
    }
    const shown = error instanceof CommanderError ? usageError(error, program, argv) : error;
    return printError(shown, { io, colors: colorsFor(io.stderr, io.env), json: argv.includes('--json') });
  }
}

/** Commander's complaint in the form of every other error; its suggestion of the nearest name becomes the hint. */
function usageError(error: CommanderError, program: Command, argv: readonly string[]): CoordError {
  const [message, ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest.join(' ').replace(/^\(|\)$/g, '');
  const help = `\`${['coord', ...commandOf(program, argv)].join(' ')} --help\` shows what is possible.`;
  return new CoordError('USAGE', message, { hint: suggestion === '' ? help : `${suggestion} ${help}` });
}

/** The names of the command that was meant, as far as there is one. */
function commandOf(program: Command, [name, ...rest]: readonly string[]): string[] {
  const command = program.commands.find((one) => one.name() === name);
  return command ? [command.name(), ...commandOf(command, rest)] : [];
}
