/** Our ring as a contender: one process a rank, linked over loopback or Unix-domain sockets or a NATS server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { CoordError, fromErrorRecord, type SocketEndpoint } from '@coord/protocol';
import type { Contender, Timing } from './contender.js';
import { joinRanks, type RankHandle } from './group.js';
import type { RankAnswer, RankCommand } from './rank-process.js';
import type { RankSetup } from './rank-service.js';

// The built program, also when this file runs from source.
const PROGRAM = fileURLToPath(new URL('../../dist/bench/rank-process.js', import.meta.url));

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

class RankProcess implements RankHandle {
  endpoint!: SocketEndpoint;
  private readonly child: ChildProcess;
  private waiting: Waiting | undefined;
  private end: Error | undefined;

  constructor(setup: RankSetup, prefix: readonly string[] = []) {
    const [command, ...args] = [...prefix, process.execPath, PROGRAM, JSON.stringify(setup)];
    this.child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.child.on('message', (answer: RankAnswer) => {
      if ('error' in answer) this.waiting?.reject(fromErrorRecord(answer.error));
      else this.waiting?.resolve(answer.value);
    });
    this.child.on('exit', (code, signal) => {
      const how = signal === null ? `ended with status ${code}` : `was killed by ${signal}`;
      this.end = new CoordError('LINK_CLOSED', `rank ${setup.rank} of the bench ${how}`, {
        hint: 'What it wrote before stands above.',
        facts: { rank: setup.rank },
      });
      this.waiting?.reject(this.end);
    });
  }

  async ready(): Promise<this> {
    this.endpoint = await this.answer<SocketEndpoint>();
    return this;
  }

  async link(endpoints: readonly SocketEndpoint[], key: string): Promise<void> {
    await this.ask({ type: 'link', endpoints, key });
  }

  time(bytes: number, iterations: number): Promise<Timing> {
    return this.ask<Timing>({ type: 'time', bytes, iterations });
  }

  async stop(): Promise<void> {
    await this.ask({ type: 'stop' });
  }

  /** Without a word; it ends by itself then. */
  abandon(): void {
    if (this.child.connected) this.child.disconnect();
  }

  private answer<T>(): Promise<T> {
    if (this.end) return Promise.reject(this.end);
    return new Promise((resolve, reject) => {
      this.waiting = { resolve: (answer) => resolve(answer as T), reject };
    });
  }

  private async ask<T>(command: RankCommand): Promise<T> {
    const answer = this.answer<T>();
    if (this.child.connected) this.child.send(command);
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

/** @param placeOf default: all on 127.0.0.1. @throws CoordError of the first rank that failed; none is left then. */
export async function startProcesses(
  setup: Omit<RankSetup, 'rank' | 'host' | 'natsPrefix'>,
  placeOf?: (rank: number) => RankPlace,
): Promise<Contender> {
  const { ranks, natsUrl, localSocket } = setup;
  // A group for each wire format, and other benches, may share the server.
  const natsPrefix = `coord.bench.${randomUUID()}`;
  const group = Array.from({ length: ranks }, (_, rank) => {
    const place = placeOf?.(rank);
    return new RankProcess({ ...setup, natsPrefix, rank, host: place?.host }, place?.prefix);
  });
  try {
    const ready = await Promise.all(group.map((rank) => rank.ready()));
    return await joinRanks(natsUrl !== undefined ? 'nats' : localSocket ? 'uds' : 'ws', ready);
  } catch (error) {
    for (const rank of group) rank.abandon();
    throw error;
  }
}
