/** Our ring as a contender: one process a rank, linked over loopback or Unix-domain sockets or a NATS server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { SocketEndpoint } from '@coord/protocol';
import type { Contender, Timing } from './contender.js';
import type { RankCommand, RankSetup } from './rank-process.js';

// The built program, also when this file runs from source.
const PROGRAM = fileURLToPath(new URL('../../dist/bench/rank-process.js', import.meta.url));

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

class RankProcess {
  private readonly child: ChildProcess;
  private waiting: Waiting | undefined;

  constructor(setup: RankSetup, prefix: readonly string[] = []) {
    const [command, ...args] = [...prefix, process.execPath, PROGRAM, JSON.stringify(setup)];
    this.child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.child.on('message', (answer) => this.waiting?.resolve(answer));
    this.child.on('exit', (code) => this.waiting?.reject(new Error(`a rank of the bench ended with status ${code}`)));
  }

  answer<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve: (answer) => resolve(answer as T), reject };
    });
  }

  async ask<T>(command: RankCommand): Promise<T> {
    const answer = this.answer<T>();
    this.child.send(command);
    return answer;
  }
}

/** Where a rank runs. */
export interface RankPlace {
  /** Address at which it listens. */
  readonly host: string;
  /** What its command line begins with: a program that runs another one. */
  readonly prefix: readonly string[];
}

/** @param placeOf default: all on 127.0.0.1. */
export async function startProcesses(
  setup: Omit<RankSetup, 'rank' | 'host'>,
  placeOf?: (rank: number) => RankPlace,
): Promise<Contender> {
  const { ranks, natsUrl, localSocket } = setup;
  const group = Array.from({ length: ranks }, (_, rank) => {
    const place = placeOf?.(rank);
    return new RankProcess({ ...setup, rank, host: place?.host }, place?.prefix);
  });
  const endpoints = await Promise.all(group.map((rank) => rank.answer<SocketEndpoint>()));
  await Promise.all(group.map((rank) => rank.ask({ type: 'link', endpoints })));
  return {
    name: natsUrl !== undefined ? 'nats' : localSocket ? 'uds' : 'ws',
    ranks,
    async time(bytes, iterations) {
      const timings = await Promise.all(group.map((rank) => rank.ask<Timing>({ type: 'time', bytes, iterations })));
      return { ms: timings[0].ms, wrong: timings.reduce((sum, { wrong }) => sum + wrong, 0) };
    },
    async stop() {
      await Promise.all(group.map((rank) => rank.ask({ type: 'stop' })));
    },
  };
}
