/** The command line: every command, its options, its examples. Commands are loaded only when they run. */
import { Command } from 'commander';
import type { CommandIo } from './io.js';
import { benchCommand, chaosCommand, doctorCommand } from './program/measure.js';
import {
  auditCommand,
  drainCommand,
  statusCommand,
  timelineCommand,
  tokenCommand,
  whyCommand,
} from './program/operate.js';
import { evalCommand, exportCommand, modelsCommand, startCommand, workerCommand } from './program/run.js';
import { type Exit, examples } from './program/shared.js';
import { VERSION } from './version.js';

/**
 * @param exit receives the exit status of the command that ran.
 * @param complain receives what commander would write to stderr; its errors come out as CommanderError as well.
 */
export function createProgram(io: CommandIo, exit: Exit, complain: (text: string) => void): Command {
  const program = new Command('coord')
    .description('Distributed data-parallel training in TypeScript.')
    .version(VERSION)
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: complain,
    })
    .addHelpText('after', examples('coord start configs/mnist-cnn.yaml', 'coord worker ws://10.0.0.5:7070 --token …'));
  for (const command of [
    startCommand(io, exit),
    workerCommand(io, exit),
    evalCommand(io, exit),
    statusCommand(io, exit),
    exportCommand(io, exit),
    drainCommand(io, exit),
    tokenCommand(io, exit),
    whyCommand(io, exit),
    auditCommand(io, exit),
    timelineCommand(io, exit),
    modelsCommand(io, exit),
    doctorCommand(io, exit),
    benchCommand(io, exit),
    chaosCommand(io, exit),
  ]) {
    program.addCommand(inherit(command, program));
  }
  return program;
}

/** Commands made apart do not take over the program's settings by themselves. */
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) inherit(child, parent);
  return command;
}
