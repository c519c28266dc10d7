/** Commands for a run that is going on, and for what it has left behind. */
import { Command, Option } from 'commander';
import type { CommandIo } from '../io.js';
import {
  type AuditOptions,
  collect,
  type DrainOptions,
  readDuration,
  readPositive,
  type StatusOptions,
  type TimelineOptions,
  type TokenCreateOptions,
  type TokenOptions,
  type TokenRevokeOptions,
  type TokenRotateOptions,
} from '../options.js';
import { type Exit, examples, JSON_FLAG, TOKEN_FLAG } from './shared.js';

const RUN_OR_URL_TEXT = 'run directory, or the address of a running coordinator';
const DEFAULT_URL = 'http://127.0.0.1:7070';
const RUN_OR_URL = ['<run-or-url>', RUN_OR_URL_TEXT] as const;
const RUN_OR_URL_TO_SEE = ['[run-or-url]', RUN_OR_URL_TEXT, DEFAULT_URL] as const;

export function statusCommand(io: CommandIo, exit: Exit): Command {
  return new Command('status')
    .description('Show what a running coordinator and its workers are doing.')
    .argument(...RUN_OR_URL_TO_SEE)
    .option(...TOKEN_FLAG)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord status', 'coord status http://10.0.0.5:7070 --token abc… --json'))
    .action(async (url: string, options: StatusOptions) => {
      const { runStatus } = await import('../commands/status.js');
      exit(await runStatus(url, options, io));
    });
}

export function drainCommand(io: CommandIo, exit: Exit): Command {
  return new Command('drain')
    .description('Ask a worker to leave after the step in progress. The others go on; no step and no sample is lost.')
    .argument('<worker>', 'its id (w1, w2 …) or name, as in `coord status`')
    .option('--url <run-or-url>', RUN_OR_URL_TEXT, DEFAULT_URL)
    .option(...TOKEN_FLAG)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord drain w2', 'coord drain gpu-3 --url http://10.0.0.5:7070 --token abc…'))
    .action(async (worker: string, options: DrainOptions) => {
      const { runDrain } = await import('../commands/drain.js');
      exit(await runDrain(worker, options, io));
    });
}

export function tokenCommand(io: CommandIo, exit: Exit): Command {
  const operator = ['--token <token>', "an operator's token, for an address; also read from COORD_TOKEN"] as const;
  const disconnect = ['--disconnect', 'send away the workers that joined with it'] as const;
  const list = new Command('list')
    .description('List the tokens of a run, without their secrets.')
    .argument(...RUN_OR_URL)
    .option(...operator)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord token list runs/2026-01-31T12-00-00-cnn-k3f9'))
    .action(async (where: string, options: TokenOptions) => {
      const { runTokenList } = await import('../commands/token.js');
      exit(await runTokenList(where, options, io));
    });
  const create = new Command('create')
    .description('Make another token, and print it: this once.')
    .argument(...RUN_OR_URL)
    .requiredOption('--name <name>', 'whose it is, or what for; stands in the ledger')
    .addOption(
      new Option('--role <role>', 'worker: joins; observer: sees the status; operator: sees, drains, rules over tokens')
        .choices(['worker', 'observer', 'operator'])
        .default('worker'),
    )
    .option('--expires <duration>', 'how long it is valid, as in 12h or 7d (default: for ever)', readDuration)
    .option(...operator)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord token create runs/2026-01-31T12-00-00-cnn-k3f9 --name lab-2 --expires 7d',
        'coord token create https://10.0.0.5:7070 --token abc… --name dashboard --role observer',
      ),
    )
    .action(async (where: string, options: TokenCreateOptions) => {
      const { runTokenCreate } = await import('../commands/token.js');
      exit(await runTokenCreate(where, options, io));
    });
  const revoke = new Command('revoke')
    .description('Let nobody join with a token any more.')
    .argument('<token-id>', 'its id (t1, t2 …) or name, as in `coord token list`')
    .argument(...RUN_OR_URL)
    .option(...disconnect)
    .option(...operator)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord token revoke join runs/2026-01-31T12-00-00-cnn-k3f9 --disconnect'))
    .action(async (who: string, where: string, options: TokenRevokeOptions) => {
      const { runTokenRevoke } = await import('../commands/token.js');
      exit(await runTokenRevoke(who, where, options, io));
    });
  const rotate = new Command('rotate')
    .description('Replace a token by a new one of the same name and role.')
    .argument('<token-id>', 'its id (t1, t2 …) or name, as in `coord token list`')
    .argument(...RUN_OR_URL)
    .option('--grace <duration>', 'how long the old one still works, as in 30m (default: not at all)', readDuration)
    .option(...disconnect)
    .option(...operator)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord token rotate join runs/2026-01-31T12-00-00-cnn-k3f9 --grace 1h'))
    .action(async (who: string, where: string, options: TokenRotateOptions) => {
      const { runTokenRotate } = await import('../commands/token.js');
      exit(await runTokenRotate(who, where, options, io));
    });
  const command = new Command('token').description('Who may join, see and command: list, make, revoke, rotate tokens.');
  for (const child of [list, create, revoke, rotate]) command.addCommand(child);
  return command.addHelpText('after', examples('coord token list runs/2026-01-31T12-00-00-cnn-k3f9'));
}

export function whyCommand(io: CommandIo, exit: Exit): Command {
  return new Command('why')
    .description('Say why a run does not go on, or goes slowly: which worker, on which machine, in which phase.')
    .argument(...RUN_OR_URL_TO_SEE)
    .option(...TOKEN_FLAG)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord why', 'coord why http://10.0.0.5:7070 --token abc… --json'))
    .action(async (url: string, options: StatusOptions) => {
      const { runWhy } = await import('../commands/why.js');
      exit(await runWhy(url, options, io));
    });
}

export function auditCommand(io: CommandIo, exit: Exit): Command {
  return new Command('audit')
    .description(
      'Prove a run: every sample once an epoch, every step once, and a step executed again to the same bits.',
    )
    .argument('<run>', 'run directory')
    .option('--execute <step>', 'execute this step again (default: the one after the newest checkpoint)', readPositive)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples('coord audit runs/2026-01-31T12-00-00-cnn-k3f9', 'coord audit runs/… --execute 400 --json'),
    )
    .action(async (run: string, options: AuditOptions) => {
      const { runAudit } = await import('../commands/audit.js');
      exit(await runAudit(run, options, io));
    });
}

export function timelineCommand(io: CommandIo, exit: Exit): Command {
  return new Command('timeline')
    .description('Merge the records of workers and coordinator into one trace for Perfetto or chrome://tracing.')
    .argument('<run>', 'run directory')
    .option('--out <file>', 'file to write (default: timeline.json in the run directory)')
    .option('--flight <file>', 'a flight record of a worker on another machine; repeatable', collect)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples('coord timeline runs/2026-01-31T12-00-00-cnn-k3f9', 'coord timeline runs/… --flight flight-w3.jsonl'),
    )
    .action(async (run: string, options: TimelineOptions) => {
      const { runTimeline } = await import('../commands/timeline.js');
      exit(await runTimeline(run, options, io));
    });
}
