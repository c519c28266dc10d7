/**
 * Local socket: a Unix-domain socket beside a host's port, for peers on the same machine. It lies in a directory that only this
 * user may enter; who speaks through it proves the same as through the port.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readlinkSync, rmSync } from 'node:fs';
import { lstat, mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { LocalSocket } from '@coord/protocol';

const DIRECTORY_PREFIX = 'coord-peer-';
const SOCKET_NAME = 'ring.sock';
/** Below what every system takes for an address (`sun_path`: 104 bytes on macOS and the BSDs, 108 on Linux). */
const MAX_PATH_BYTES = 100;
const OTHERS_MAY = 0o077;

/** Directories of this process, for when it ends before its listeners are closed. */
const directories = new Set<string>();

export interface LocalListener {
  readonly localSocket: LocalSocket;
  close(): Promise<void>;
}

const socketPath = (directory: string): string => join(tmpdir(), directory, SOCKET_NAME);

/** @returns undefined where there can be none; peers then use the port. */
export async function listenLocally(server: Server): Promise<LocalListener | undefined> {
  // As long as the one that the system makes, with six characters of its choice.
  const probe = socketPath(`${DIRECTORY_PREFIX}XXXXXX`);
  if (process.platform === 'win32' || Buffer.byteLength(probe) > MAX_PATH_BYTES) return undefined;
  const path = await mkdtemp(join(tmpdir(), DIRECTORY_PREFIX)).catch(() => undefined);
  if (path === undefined) return undefined;
  remember(path);
  try {
    server.listen(join(path, SOCKET_NAME));
    await once(server, 'listening');
  } catch {
    await forget(path);
    return undefined;
  }
  return {
    localSocket: { machine: thisMachine(), directory: basename(path) },
    async close() {
      await new Promise((resolve) => server.close(resolve));
      await forget(path);
    },
  };
}

/** @returns the path of a peer's socket, if it is on this machine and nobody but this user can have made it. */
export async function reachableSocket({ machine, directory }: LocalSocket): Promise<string | undefined> {
  const uid = process.getuid?.();
  if (uid === undefined || machine !== thisMachine()) return undefined;
  const path = socketPath(directory);
  try {
    const [around, socket] = await Promise.all([lstat(join(tmpdir(), directory)), lstat(path)]);
    const isPrivate = around.isDirectory() && around.uid === uid && (around.mode & OTHERS_MAY) === 0;
    return isPrivate && socket.isSocket() && socket.uid === uid ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * One kernel since it was started, and one network of it: between network namespaces, links go by the network, whose limits
 * and faults somebody wanted.
 */
function thisMachine(): string {
  const facts = [
    hostname(),
    quietly(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    quietly(() => readlinkSync('/proc/self/ns/net')),
  ];
  return createHash('sha256').update(JSON.stringify(facts)).digest('base64url');
}

/** Only Linux has these files. */
function quietly(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

function remember(path: string): void {
  if (directories.size === 0) process.once('exit', removeAll);
  directories.add(path);
}

async function forget(path: string): Promise<void> {
  directories.delete(path);
  if (directories.size === 0) process.off('exit', removeAll);
  await rm(path, { recursive: true, force: true });
}

function removeAll(): void {
  for (const path of directories) rmSync(path, { recursive: true, force: true });
}
