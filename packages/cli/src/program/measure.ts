/** Commands that examine machines and measure the system. */
import { Command, Option } from 'commander';
import type { CommandIo } from '../io.js';
import {
  type AllReduceOptions,
  type ChaosOptions,
  collect,
  type DoctorOptions,
  type OverlapOptions,
  readCount,
  readCounts,
  readKinds,
  readListen,
  readMinutes,
  readPeers,
  readPositive,
  readRanks,
  readShapedWorkers,
  readSizes,
  readWires,
  type ScalingOptions,
} from '../options.js';
import { TOKEN_VARIABLE } from '../token.js';
import { type Exit, examples, JSON_FLAG, SET_FLAG } from './shared.js';

const ALL_REDUCE_SIZES = '4,1K,64K,1M,16M';

export function doctorCommand(io: CommandIo, exit: Exit): Command {
  return new Command('doctor')
    .description('Examine this machine: hardware, engines, network, clock, cache. Ends with 0 if an engine works.')
    .option('--bench', 'measure the speed of each engine that works, about 3 seconds each')
    .option('--coordinator <url>', 'measure the way to this coordinator as well')
    .option('--token <token>', 'the join token, for the certificate that it names; also read from COORD_TOKEN')
    .option('--cache-dir <dir>', 'where blocks of samples are kept between runs')
    .option('--json', 'one JSON object on stdout, and nothing else there')
    .addHelpText(
      'after',
      examples(
        'coord doctor',
        'coord doctor --bench',
        'coord doctor --coordinator ws://10.0.0.5:7070 --json',
        'coord doctor --coordinator wss://10.0.0.5:7070 --token …',
      ),
    )
    .action(async (options: DoctorOptions) => {
      const { runDoctor } = await import('../commands/doctor.js');
      exit(await runDoctor(options, io));
    });
}

export function benchCommand(io: CommandIo, exit: Exit): Command {
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
      const { runBenchScaling } = await import('../commands/bench-scaling.js');
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

export function chaosCommand(io: CommandIo, exit: Exit): Command {
  return new Command('chaos')
    .description(
      'Disturb a real cluster on this machine by a schedule of faults, and prove that its weights are those of an undisturbed run.',
    )
    .argument('[config]', 'YAML file that describes the run (default: a tiny one)')
    .option('--workers <n>', 'worker processes', readPositive, 4)
    .option('--faults <n>', 'faults, spread over the steps of the run', readCount, 22)
    .option('--steps <n>', 'steps of the run (default: 40 a fault)', readPositive)
    .addOption(
      new Option('--minutes <m>', 'run for so long instead, with a fault every so often')
        .argParser(readMinutes)
        .conflicts('faults'),
    )
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
      const { runChaosCommand } = await import('../commands/chaos.js');
      exit(await runChaosCommand(config, options, io));
    });
}

function overlapCommand(io: CommandIo, exit: Exit): Command {
  return new Command('overlap')
    .description('Measure training over slow links with and without reducing gradients while others compute.')
    .argument('<config>', 'YAML file that describes the run')
    .option('--workers <n>', 'worker processes', readShapedWorkers, 2)
    .option('--megabits <n>', "rate of each worker's link, in Mbit/s", readPositive, 1000)
    .addOption(
      new Option(
        '--links <kind>',
        'network namespaces with limited cards (as root), or senders that hold back on loopback',
      )
        .choices(['auto', 'namespaces', 'limited'])
        .default('auto'),
    )
    .option('--repeats <n>', 'runs of each kind, in turns; medians are shown', readPositive, 1)
    .option('--steps <n>', 'measured steps a run, after a warm-up', readPositive, 10)
    .option('--timeline <dir>', 'write overlap-off.json and overlap-on.json there, for ui.perfetto.dev')
    .option(...SET_FLAG, collect)
    .option(...JSON_FLAG)
    .addHelpText('after', examples('coord bench overlap configs/deep-mlp.yaml --steps 8 --timeline traces'))
    .action(async (config: string, options: OverlapOptions) => {
      const { runBenchOverlap } = await import('../commands/bench-overlap.js');
      exit(await runBenchOverlap(config, options, io));
    });
}

function allReduceCommand(io: CommandIo, exit: Exit): Command {
  return new Command('allreduce')
    .description('Measure the ring all-reduce between processes or machines, in the layout of nccl-tests.')
    .option('--workers <n>', 'ranks, a process or a machine each', readRanks, 2)
    .addOption(
      new Option('--sizes <list>', 'sizes of the buffer in bytes')
        .argParser(readSizes)
        .default(readSizes(ALL_REDUCE_SIZES), ALL_REDUCE_SIZES),
    )
    .option('--rounds <n>', 'turns of each contender at each size', readPositive, 5)
    .option('--against <peers...>', 'measure gloo, mpi or both in turns with ours, where they are', readPeers)
    .addOption(
      new Option(
        '--transport <name>',
        'what the ranks share: TCP or Unix-domain sockets, a NATS server, shared memory (threads of one process), or buffers in memory (one thread)',
      )
        .choices(['ws', 'uds', 'shm', 'nats', 'memory'])
        .default('ws'),
    )
    .option('--nats <url>', 'address of the NATS server, for --transport nats')
    .addOption(
      new Option('--wire <formats>', 'integers that travel between ranks: int32, int16, int8, in turns')
        .argParser(readWires)
        .default(readWires('int32'), 'int32'),
    )
    .option(
      '--megabits <n>',
      'links of this rate, Mbit/s: ranks in network namespaces (as root), or --transport memory',
      readPositive,
    )
    .option('--latency <ms>', 'latency of links, for --transport memory', readCount)
    .addOption(
      new Option('--schedule <name>', 'ring or recursive doubling for buffers of at most 96 KB; auto as in training')
        .choices(['auto', 'ring', 'doubling'])
        .default('auto'),
    )
    .option('--tls', 'encrypt the links, as in training with --tls; for --transport ws')
    .option('--listen <host:port>', 'wait here for --workers less one other machines, a rank each', readListen)
    .addOption(new Option('--join <url>', 'hold a rank of the bench that another machine leads').conflicts('listen'))
    .option('--token <token>', `what joining takes (default: ${TOKEN_VARIABLE}, else a new one)`)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      examples(
        'coord bench allreduce --workers 2',
        'coord bench allreduce --sizes 4K,1M,64M --against gloo,mpi --json',
        'coord bench allreduce --sizes 25M --wire int32,int16 --megabits 1000',
        'coord bench allreduce --sizes 1M,25M --tls',
        'coord bench allreduce --workers 3 --listen 10.0.0.5:7400',
        'coord bench allreduce --join ws://10.0.0.5:7400 --token abc…',
      ),
    )
    .action(async (options: AllReduceOptions) => {
      const { runBenchAllReduce } = await import('../commands/bench-allreduce.js');
      exit(await runBenchAllReduce(options, io));
    });
}
