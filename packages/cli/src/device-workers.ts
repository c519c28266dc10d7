/** A worker process for each NVIDIA device of this machine: CUDA shows a process only the devices that its environment names. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostname } from 'node:os';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { CoordError, EXIT_CODE } from '@coord/protocol';
import { type CommandIo, type TextOutput, writeLine } from './io.js';
import type { WorkerOptions } from './options.js';
import { requireToken, TOKEN_VARIABLE } from './token.js';

const COORD = fileURLToPath(new URL('../bin/coord.js', import.meta.url));
const CUDA_ENGINES = ['ort-cuda', 'tfjs-node-gpu', 'auto'];

/**
 * Ends when all have ended; an interrupt is handed on to each.
 *
 * @returns the first exit status that is not that of success.
 * @throws CoordError USAGE for options that workers cannot share.
 */
export async function runDeviceWorkers(
  url: string,
  { devices, ...options }: WorkerOptions & { readonly devices: readonly number[] },
  io: CommandIo,
): Promise<number> {
  requireShareable(options);
  const token = requireToken(options.token, io.env);
  const children = devices.map((device) => {
    // A group of its own: Ctrl-C in the terminal would reach it twice.
    const child = spawn(process.execPath, [COORD, 'worker', url, ...argumentsOf(options, device)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...io.env, ...environmentOf(device), [TOKEN_VARIABLE]: token },
      detached: true,
      windowsHide: true,
    });
    const prefix = options.json ? '' : `device ${device}: `;
    relay(child.stdout, io.stdout, prefix);
    relay(child.stderr, io.stderr, prefix);
    return child;
  });
  const release = io.onInterrupt((signal) => {
    for (const child of children) child.kill(signal);
  });
  const killAll = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  // Whatever ends this process, no worker of its own outlives it.
  process.once('exit', killAll);
  try {
    const codes = await Promise.all(children.map(statusOf));
    return codes.find((code) => code !== EXIT_CODE.ok) ?? EXIT_CODE.ok;
  } finally {
    killAll();
    process.off('exit', killAll);
    release();
  }
}

/** Numbers as `nvidia-smi` shows them: CUDA's own order is by speed. */
const environmentOf = (device: number) => ({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: String(device) });

function requireShareable({ workers = 1, engine, listen, advertise }: WorkerOptions): void {
  if (workers > 1) throw unusable('--workers', 'a device takes one worker: more would take turns on it');
  if (engine && !CUDA_ENGINES.includes(engine)) throw unusable(`--engine ${engine}`, 'it computes on no NVIDIA device');
  if (listen && listen.port !== 0) throw unusable('--listen with a port', 'each device has a process of its own');
  if (advertise?.port !== undefined) throw unusable('--advertise with a port', 'each device has a process of its own');
}

const unusable = (option: string, why: string): CoordError =>
  new CoordError('USAGE', `${option} does not go with --devices: ${why}`, {
    hint: 'Leave one of the two out; or start a worker for each device yourself, with CUDA_VISIBLE_DEVICES.',
  });

function argumentsOf(options: WorkerOptions, device: number): string[] {
  const { listen, advertise, wait, patience } = options;
  const values = {
    name: `${options.name ?? `${hostname()}-${process.pid}`}-gpu${device}`,
    engine: options.engine,
    'cache-dir': options.cacheDir,
    'log-dir': options.logDir,
    wait,
    patience,
    listen: listen && `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`,
    advertise: advertise?.host,
  };
  const flags = { 'local-socket': options.localSocket, json: options.json, verbose: options.verbose };
  return [
    ...Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)])),
    ...Object.entries(flags).flatMap(([name, isOn]) => (isOn ? [`--${name}`] : [])),
  ];
}

function relay(from: Readable, to: TextOutput, prefix: string): void {
  createInterface({ input: from }).on('line', (line) => writeLine(to, `${prefix}${line}`));
}

/** `close` comes when its output has been read, too. @throws the system's error when it cannot be started. */
async function statusOf(child: ChildProcess): Promise<number> {
  const [code] = await once(child, 'close');
  return code ?? EXIT_CODE.unexpected;
}
