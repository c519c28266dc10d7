/** The command line: every command, its options, its examples. Commands are loaded only when they run. */
import { ENGINES } from '@coord/protocol';
import { Command, Option } from 'commander';
import type { CommandIo } from './io.js';
import {
  type AllReduceOptions,
  type AuditOptions,
  type ChaosOptions,
  collect,
  type DoctorOptions,
  type DrainOptions,
  type ExportOptions,
  type JsonOptions,
  type ModelsShowOptions,
  type OverlapOptions,
  readAdvertised,
  readCount,
  readCounts,
  readDuration,
  readKinds,
  readListen,
  readMinutes,
  readPositive,
  readSizes,
  type ScalingOptions,
  type StartOptions,
  type StatusOptions,
  type TimelineOptions,
  type TokenCreateOptions,
  type TokenOptions,
  type TokenRevokeOptions,
  type TokenRotateOptions,
  type WorkerOptions,
} from './options.js';
import { VERSION } from './version.js';

type Exit = (code: number) => void;

const examples = (...lines: string[]): string => `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;

const ALL_REDUCE_SIZES = '4,1K,64K,1M,16M';
const JSON_FLAG = ['--json', 'one JSON object a line on stdout, and nothing else there'] as const;
const VERBOSE_FLAG = ['--verbose', 'write the log to stderr as well'] as const;
const SET_FLAG = ['--set <key.path=value>', 'override one key of the configuration; repeatable'] as const;
const TOKEN_FLAG = ['--token <token>', 'the join token; also read from COORD_TOKEN'] as const;

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

function startCommand(io: CommandIo, exit: Exit): Command {
  return new Command('start')
    .description('Train: start a coordinator and its local workers.')
    .argument('[config]', 'YAML file that describes the run')
    .option('--workers <n>', 'local workers; 0 waits for others to join')
    .option('--listen <host:port>', 'where workers join (default 127.0.0.1:7070)')
    .option('--min-workers <n>', 'workers that must be ready before the first step')
    .option('--floor-workers <n>', 'below this many workers training waits for others')
    .option('--max-workers <n>', 'workers that train at a time; others wait as spares')
    .option('--transport <name>', 'what carries joins, control messages and the ring: ws (default) or nats')
    .option('--nats <url>', 'the NATS server, nats://HOST:PORT, for --transport nats')
    .option('--run-dir <dir>', 'where the run is kept (default runs/<date-time>-<model>-<id>)')
    .option('--resume <run>', 'continue this run directory from its newest intact checkpoint')
    .option('--seed <n>', 'decides initial weights, sample order, augmentation and dropout')
    .option(...SET_FLAG, collect)
    .option(...TOKEN_FLAG)
    .option('--tls', 'encrypt everything, with a certificate of its own that the token pins')
    .option('--tls-cert <file>', 'encrypt everything, with this certificate (PEM)')
    .option('--tls-key <file>', 'private key of --tls-cert (PEM)')
    .option(...JSON_FLAG)
    .option(...VERBOSE_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord start configs/mnist-cnn.yaml',
        'coord start configs/mnist-cnn.yaml --listen 0.0.0.0:7070 --tls',
        'coord start configs/mnist-cnn.yaml --workers 4 --set optimizer.learningRate=0.002 --set epochs=2',
        'coord start configs/mnist-mlp.yaml --workers 0 --min-workers 3 --listen 0.0.0.0:7070',
        'coord start configs/mnist-cnn.yaml --transport nats --nats nats://10.0.0.5:4222',
        'coord start --resume runs/2026-01-31T12-00-00-cnn-k3f9 --workers 3',
      ),
    )
    .action(async (config: string | undefined, options: StartOptions) => {
      const { runStart } = await import('./commands/start.js');
      exit(await runStart(config, options, io));
    });
}

function workerCommand(io: CommandIo, exit: Exit): Command {
  return new Command('worker')
    .description('Add this machine to a run. Model and data come from the coordinator.')
    .argument('<url>', "the coordinator's address, ws://HOST:PORT, wss://HOST:PORT or nats://HOST:PORT/RUN")
    .option(...TOKEN_FLAG)
    .option('--name <name>', 'what to call this worker (default: host name and process id)')
    .option('--workers <n>', 'workers of this machine, as threads of this process (default 1)', readPositive)
    .addOption(
      new Option('--engine <name>', "what computes gradients here, instead of the run's engine").choices(ENGINES),
    )
    .option('--cache-dir <dir>', 'where blocks of samples are kept between runs')
    .option('--log-dir <dir>', 'where the flight record is written when something goes wrong, and at the end')
    .option('--patience <s>', 'seconds to go on without a coordinator before giving up (default 120)', readPositive)
    .option('--listen <host:port>', 'where links of other workers are accepted (default: any port)', readListen)
    .option(
      '--advertise <host[:port]>',
      'address at which other workers reach this one, where it cannot be guessed',
      readAdvertised,
    )
    .option(...JSON_FLAG)
    .option(...VERBOSE_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord worker ws://10.0.0.5:7070 --token abc…',
        'COORD_TOKEN=abc… coord worker ws://10.0.0.5:7070 --name gpu-3 --engine ort-webgpu',
        'coord worker ws://10.0.0.5:7070 --token abc… --workers 8',
        'coord worker wss://10.0.0.5:7070 --token abc….sha256-def…',
        'coord worker nats://10.0.0.5:4222 --token abc…',
      ),
    )
    .action(async (url: string, options: WorkerOptions) => {
      const { runWorker } = await import('./commands/worker.js');
      exit(await runWorker(url, options, io));
    });
}

function evalCommand(io: CommandIo, exit: Exit): Command {
  return new Command('eval')
    .description('Measure a checkpoint on the test split, in this process.')
    .argument('<run-or-checkpoint>', 'run directory (its newest intact checkpoint) or checkpoint directory')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples('coord eval runs/2026-01-31T12-00-00-cnn-k3f9', 'coord eval runs/…/checkpoints/step-00000938 --json'),
    )
    .action(async (path: string, options: JsonOptions) => {
      const { runEval } = await import('./commands/eval.js');
      exit(await runEval(path, options, io));
    });
}

function statusCommand(io: CommandIo, exit: Exit): Command {
  return new Command('status')
    .description('Show what a running coordinator and its workers are doing.')
    .argument('[url]', "the coordinator's address", 'http://127.0.0.1:7070')
    .option(...TOKEN_FLAG)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord status', 'coord status http://10.0.0.5:7070 --token abc… --json'))
    .action(async (url: string, options: StatusOptions) => {
      const { runStatus } = await import('./commands/status.js');
      exit(await runStatus(url, options, io));
    });
}

function exportCommand(io: CommandIo, exit: Exit): Command {
  const format = new Option('--format <format>', 'tfjs: model.json and weights; safetensors: one file of weights')
    .choices(['tfjs', 'safetensors'])
    .makeOptionMandatory();
  return new Command('export')
    .description("Write a checkpoint's weights for other programs.")
    .argument('<run-or-checkpoint>', 'run directory (its newest intact checkpoint) or checkpoint directory')
    .addOption(format)
    .requiredOption('--out <dir>', 'directory to write into')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord export runs/2026-01-31T12-00-00-cnn-k3f9 --format tfjs --out exported',
        'coord export runs/…/checkpoints/step-00000938 --format safetensors --out exported',
      ),
    )
    .action(async (path: string, options: ExportOptions) => {
      const { runExport } = await import('./commands/export.js');
      exit(await runExport(path, options, io));
    });
}

function auditCommand(io: CommandIo, exit: Exit): Command {
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
      const { runAudit } = await import('./commands/audit.js');
      exit(await runAudit(run, options, io));
    });
}

function drainCommand(io: CommandIo, exit: Exit): Command {
  return new Command('drain')
    .description('Ask a worker to leave after the step in progress. The others go on; no step and no sample is lost.')
    .argument('<worker>', 'its id (w1, w2 …) or name, as in `coord status`')
    .option('--url <url>', "the coordinator's address", 'http://127.0.0.1:7070')
    .option(...TOKEN_FLAG)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord drain w2', 'coord drain gpu-3 --url http://10.0.0.5:7070 --token abc…'))
    .action(async (worker: string, options: DrainOptions) => {
      const { runDrain } = await import('./commands/drain.js');
      exit(await runDrain(worker, options, io));
    });
}

const RUN_OR_URL = ['<run-or-url>', 'run directory, or the address of a running coordinator'] as const;

function tokenCommand(io: CommandIo, exit: Exit): Command {
  const operator = ['--token <token>', "an operator's token, for an address; also read from COORD_TOKEN"] as const;
  const disconnect = ['--disconnect', 'send away the workers that joined with it'] as const;
  const list = new Command('list')
    .description('List the tokens of a run, without their secrets.')
    .argument(...RUN_OR_URL)
    .option(...operator)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord token list runs/2026-01-31T12-00-00-cnn-k3f9'))
    .action(async (where: string, options: TokenOptions) => {
      const { runTokenList } = await import('./commands/token.js');
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
      const { runTokenCreate } = await import('./commands/token.js');
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
      const { runTokenRevoke } = await import('./commands/token.js');
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
      const { runTokenRotate } = await import('./commands/token.js');
      exit(await runTokenRotate(who, where, options, io));
    });
  const command = new Command('token').description('Who may join, see and command: list, make, revoke, rotate tokens.');
  for (const child of [list, create, revoke, rotate]) command.addCommand(child);
  return command.addHelpText('after', examples('coord token list runs/2026-01-31T12-00-00-cnn-k3f9'));
}

function whyCommand(io: CommandIo, exit: Exit): Command {
  return new Command('why')
    .description('Say why a run does not go on, or goes slowly: which worker, on which machine, in which phase.')
    .argument('[url]', "the coordinator's address", 'http://127.0.0.1:7070')
    .option(...TOKEN_FLAG)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord why', 'coord why http://10.0.0.5:7070 --token abc… --json'))
    .action(async (url: string, options: StatusOptions) => {
      const { runWhy } = await import('./commands/why.js');
      exit(await runWhy(url, options, io));
    });
}

function timelineCommand(io: CommandIo, exit: Exit): Command {
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
      const { runTimeline } = await import('./commands/timeline.js');
      exit(await runTimeline(run, options, io));
    });
}

function modelsCommand(io: CommandIo, exit: Exit): Command {
  const show = new Command('show')
    .description('Show the layers of a model: output shapes, parameters, floating-point operations.')
    .argument('<model>', 'a model of the library, a model file, or a YAML file that describes a run')
    .option(
      '--set <option=value>',
      'set one option of the model (beside a YAML file: one of its keys); repeatable',
      collect,
    )
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord models show cnn',
        'coord models show resnet --set depth=50 --json',
        'coord models show configs/mnist-cnn.yaml',
      ),
    )
    .action(async (model: string, options: ModelsShowOptions) => {
      const { runModelsShow } = await import('./commands/models-show.js');
      exit(await runModelsShow(model, options, io));
    });
  return new Command('models')
    .description('List the models that a configuration can name, or show one.')
    .option(...JSON_FLAG)
    .addCommand(show)
    .addHelpText('after', examples('coord models', 'coord models --json', 'coord models show cnn'))
    .action(async (options: JsonOptions) => {
      const { runModels } = await import('./commands/models.js');
      exit(await runModels(options, io));
    });
}

function doctorCommand(io: CommandIo, exit: Exit): Command {
  return new Command('doctor')
    .description('Examine this machine: hardware, engines, network, clock, cache. Ends with 0 if an engine works.')
    .option('--bench', 'measure the speed of each engine that works, about 3 seconds each')
    .option('--coordinator <url>', 'measure the way to this coordinator as well')
    .option('--cache-dir <dir>', 'where blocks of samples are kept between runs')
    .option('--json', 'one JSON object on stdout, and nothing else there')
    .addHelpText(
      'after',
      examples('coord doctor', 'coord doctor --bench', 'coord doctor --coordinator ws://10.0.0.5:7070 --json'),
    )
    .action(async (options: DoctorOptions) => {
      const { runDoctor } = await import('./commands/doctor.js');
      exit(await runDoctor(options, io));
    });
}

function benchCommand(io: CommandIo, exit: Exit): Command {
  const scaling = new Command('scaling')
    .description('Measure how training scales over local workers: strong (fixed batch) and weak (batch grows).')
    .argument('<config>', 'YAML file that describes the run')
    .option('--workers <list>', 'numbers of workers to compare', readCounts, [1, 2])
    .option('--repeats <n>', 'runs of each kind; median and spread are shown', readPositive, 3)
    .option('--steps <n>', 'measured steps a run, after a warm-up', readPositive, 60)
    .option(...SET_FLAG, collect)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord bench scaling configs/mnist-cnn.yaml --workers 1,2',
        'coord bench scaling configs/mnist-cnn.yaml --workers 1,2,4 --repeats 5 --steps 100 --json',
      ),
    )
    .action(async (config: string, options: ScalingOptions) => {
      const { runBenchScaling } = await import('./commands/bench-scaling.js');
      exit(await runBenchScaling(config, options, io));
    });
  return new Command('bench')
    .description('Measurements.')
    .addCommand(scaling)
    .addCommand(allReduceCommand(io, exit))
    .addCommand(overlapCommand(io, exit))
    .addHelpText(
      'after',
      examples('coord bench scaling configs/mnist-cnn.yaml --workers 1,2', 'coord bench allreduce --workers 2'),
    );
}

function chaosCommand(io: CommandIo, exit: Exit): Command {
  return new Command('chaos')
    .description(
      'Disturb a real cluster on this machine by a schedule of faults, and prove that its weights are those of an undisturbed run.',
    )
    .argument('[config]', 'YAML file that describes the run (default: a tiny one)')
    .option('--workers <n>', 'worker processes', readPositive, 4)
    .option('--faults <n>', 'faults, spread over the steps of the run', readCount, 22)
    .option('--steps <n>', 'steps of the run (default: 40 a fault)', readPositive)
    .option('--minutes <m>', 'run for so long instead, with a fault every so often', readMinutes)
    .option('--every <s>', 'seconds between faults, with --minutes', readPositive, 5)
    .option('--kinds <list>', 'kinds of faults to draw from (default: all)', readKinds)
    .option('--seed <n>', 'decides the faults and the run', readCount, 1)
    .option('--schedule <file>', 'faults to carry out instead of drawing some (YAML or JSON)')
    .addOption(
      new Option('--network <kind>', 'how workers are cut off: network namespaces (as root), or a proxy')
        .choices(['auto', 'namespaces', 'proxy'])
        .default('auto'),
    )
    .option('--pace <ms>', 'time that every grain takes longer, as on a slower machine', readCount)
    .option('--spare <n>', 'never end the first n workers and the coordinator', readCount, 0)
    .option('--watch', 'fail when memory, files, threads or handles of a process grow')
    .option('--measure', 'measure the throughput that is kept, against undisturbed time before and after')
    .option('--keep <dir>', 'copy run directory and logs there (after a failure they are always kept)')
    .option(...SET_FLAG, collect)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord chaos --faults 60 --workers 5 --seed 7',
        'coord chaos configs/mnist-cnn.yaml --minutes 30 --every 5 --kinds kill,stop,partition',
      ),
    )
    .action(async (config: string | undefined, options: ChaosOptions) => {
      const { runChaosCommand } = await import('./commands/chaos.js');
      exit(await runChaosCommand(config, options, io));
    });
}

function overlapCommand(io: CommandIo, exit: Exit): Command {
  return new Command('overlap')
    .description(
      'Measure training over slow links with and without reducing gradients while others compute (as root: each worker lives in a network namespace).',
    )
    .argument('<config>', 'YAML file that describes the run')
    .option('--workers <n>', 'worker processes', readPositive, 2)
    .option('--megabits <n>', "rate of each worker's link, in Mbit/s", readPositive, 1000)
    .option('--repeats <n>', 'runs of each kind, in turns; medians are shown', readPositive, 1)
    .option('--steps <n>', 'measured steps a run, after a warm-up', readPositive, 10)
    .option('--timeline <dir>', 'write overlap-off.json and overlap-on.json there, for ui.perfetto.dev')
    .option(...SET_FLAG, collect)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord bench overlap configs/deep-mlp.yaml --steps 8 --timeline traces'))
    .action(async (config: string, options: OverlapOptions) => {
      const { runBenchOverlap } = await import('./commands/bench-overlap.js');
      exit(await runBenchOverlap(config, options, io));
    });
}

function allReduceCommand(io: CommandIo, exit: Exit): Command {
  return new Command('allreduce')
    .description('Measure the ring all-reduce between processes of this machine, in the layout of nccl-tests.')
    .option('--workers <n>', 'ranks, a process each', readPositive, 2)
    .addOption(
      new Option('--sizes <list>', 'sizes of the buffer in bytes')
        .argParser(readSizes)
        .default(readSizes(ALL_REDUCE_SIZES), ALL_REDUCE_SIZES),
    )
    .option('--rounds <n>', 'turns of each contender at each size', readPositive, 5)
    .addOption(
      new Option('--against <peers...>', 'measure these in turns with ours, where they are').choices(['gloo', 'mpi']),
    )
    .addOption(
      new Option(
        '--transport <name>',
        'what the ranks share: sockets, memory (threads of one process), or a NATS server',
      )
        .choices(['ws', 'shm', 'nats'])
        .default('ws'),
    )
    .option('--nats <url>', 'address of the NATS server, for --transport nats')
    .addOption(
      new Option('--wire <format>', 'integers that travel between ranks')
        .choices(['int32', 'int16', 'int8'])
        .default('int32'),
    )
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples('coord bench allreduce --workers 2', 'coord bench allreduce --sizes 4K,1M,64M --against gloo --json'),
    )
    .action(async (options: AllReduceOptions) => {
      const { runBenchAllReduce } = await import('./commands/bench-allreduce.js');
      exit(await runBenchAllReduce(options, io));
    });
}
