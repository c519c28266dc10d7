/** Commands that train, and that use what was trained. */
import { ENGINES } from '@coord/protocol';
import { Command, Option } from 'commander';
import type { CommandIo } from '../io.js';
import {
  collect,
  type ExportOptions,
  type JsonOptions,
  type ModelsShowOptions,
  readAdvertised,
  readCount,
  readDevices,
  readListen,
  readPositive,
  readWorkers,
  type StartOptions,
  type WorkerOptions,
} from '../options.js';
import { type Exit, examples, JSON_FLAG, SET_FLAG, TOKEN_FLAG, VERBOSE_FLAG } from './shared.js';

export function startCommand(io: CommandIo, exit: Exit): Command {
  return new Command('start')
    .description('Train: start a coordinator and its local workers.')
    .argument('[config]', 'YAML file that describes the run')
    .option('--workers <n>', 'local workers; 0 waits for others to join')
    .option('--listen <host:port>', 'where workers join (default 127.0.0.1:7070)')
    .option('--min-workers <n>', 'workers that must be ready before the first step')
    .option('--floor-workers <n>', 'below this many workers training waits for others')
    .option('--max-workers <n>', 'workers that train at a time; others wait as spares')
    .option('--transport <name>', 'what carries joins, control messages and the ring: ws (default) or nats')
    .option('--nats <url>', 'the NATS server, nats://HOST:PORT; implies --transport nats')
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
      const { runStart } = await import('../commands/start.js');
      exit(await runStart(config, options, io));
    });
}

export function workerCommand(io: CommandIo, exit: Exit): Command {
  return new Command('worker')
    .description('Add this machine to a run. Model and data come from the coordinator.')
    .argument('<url>', "the coordinator's address, ws://HOST:PORT, wss://HOST:PORT or nats://HOST:PORT/RUN")
    .option(...TOKEN_FLAG)
    .option('--name <name>', 'what to call this worker (default: host name and process id)')
    .option('--workers <n>', 'workers of this machine, as threads of this process (default 1)', readWorkers)
    .option(
      '--devices <list>',
      'a worker process for each of these NVIDIA devices, as nvidia-smi counts them',
      readDevices,
    )
    .addOption(
      new Option('--engine <name>', "what computes gradients here, instead of the run's engine").choices(ENGINES),
    )
    .option('--cache-dir <dir>', 'where blocks of samples are kept between runs')
    .option('--log-dir <dir>', 'where the flight record is written when something goes wrong, and at the end')
    .option('--wait <s>', 'seconds to wait for a coordinator that is not there yet', readCount, 30)
    .option('--patience <s>', 'seconds to go on without a coordinator before giving up (default 120)', readPositive)
    .option('--listen <host:port>', 'where links of other workers are accepted (default: any port)', readListen)
    .option(
      '--advertise <host[:port]>',
      'address at which other workers reach this one, where it cannot be guessed',
      readAdvertised,
    )
    .option('--local-socket', 'let workers of this machine link by a Unix-domain socket, where nothing is encrypted')
    .option(...JSON_FLAG)
    .option(...VERBOSE_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord worker ws://10.0.0.5:7070 --token abc…',
        'COORD_TOKEN=abc… coord worker ws://10.0.0.5:7070 --name gpu-3 --engine ort-webgpu',
        'coord worker ws://10.0.0.5:7070 --token abc… --workers 8',
        'coord worker ws://10.0.0.5:7070 --token abc… --devices 0,1',
        'coord worker wss://10.0.0.5:7070 --token abc….sha256-def…',
        'coord worker nats://10.0.0.5:4222 --token abc…',
      ),
    )
    .action(async (url: string, options: WorkerOptions) => {
      const { runWorker } = await import('../commands/worker.js');
      exit(await runWorker(url, options, io));
    });
}

export function evalCommand(io: CommandIo, exit: Exit): Command {
  return new Command('eval')
    .description('Measure a checkpoint on the test split, in this process.')
    .argument('<run-or-checkpoint>', 'run directory (its newest intact checkpoint) or checkpoint directory')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples('coord eval runs/2026-01-31T12-00-00-cnn-k3f9', 'coord eval runs/…/checkpoints/step-00000938 --json'),
    )
    .action(async (path: string, options: JsonOptions) => {
      const { runEval } = await import('../commands/eval.js');
      exit(await runEval(path, options, io));
    });
}

export function exportCommand(io: CommandIo, exit: Exit): Command {
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
      const { runExport } = await import('../commands/export.js');
      exit(await runExport(path, options, io));
    });
}

export function modelsCommand(io: CommandIo, exit: Exit): Command {
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
      const { runModelsShow } = await import('../commands/models-show.js');
      exit(await runModelsShow(model, options, io));
    });
  return new Command('models')
    .description('List the models that a configuration can name, or show one.')
    .option(...JSON_FLAG)
    .addCommand(show)
    .addHelpText('after', examples('coord models', 'coord models --json', 'coord models show cnn'))
    .action(async (options: JsonOptions) => {
      const { runModels } = await import('../commands/models.js');
      exit(await runModels(options, io));
    });
}
