/** Our ring as a contender: one process a rank, linked over loopback or Unix-domain sockets or a NATS server. */
import { type ChildProcess, fork } from 'node:child_process';
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

  constructor(setup: RankSetup) {
    this.child = fork(PROGRAM, [JSON.stringify(setup)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
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

export async function startProcesses(setup: Omit<RankSetup, 'rank'>): Promise<Contender> {
  const { ranks, natsUrl, localSocket } = setup;
  const group = Array.from({ length: ranks }, (_, rank) => new RankProcess({ ...setup, rank }));
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
