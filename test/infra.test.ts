/** What can be checked of infra/ without a Docker engine or a booted systemd. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { LIMITS } from '@coord/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '..');
const infra = join(root, 'infra');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const run = promisify(execFile);

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
  readonly environment?: unknown;
  readonly depends_on?: Record<string, unknown>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly cap_drop?: readonly string[];
}

interface Compose {
  readonly services: Record<string, Service>;
  readonly volumes: Record<string, unknown>;
}

const compose = parse(read('infra/compose.yaml'), { merge: true }) as Compose;
const dockerfile = read('infra/Dockerfile').replaceAll('\\\n', ' ').split('\n');
const units = readdirSync(join(infra, 'systemd')).filter((file) => file.endsWith('.service'));
const instructions = (name: string): string[][] =>
  dockerfile.filter((line) => line.startsWith(`${name} `)).map((line) => line.split(/\s+/).slice(1));

describe('the Dockerfile', () => {
  const copies = instructions('COPY').map((words) => ({
    from: words.find((word) => word.startsWith('--from='))?.slice('--from='.length),
    sources: words.filter((word) => !word.startsWith('--')).slice(0, -1),
  }));

  it('copies only what the repository has', () => {
    const sources = copies.filter(({ from }) => !from).flatMap((copy) => copy.sources);
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((source) => !existsSync(join(root, source)))).toEqual([]);
  });

  it('copies nothing that its ignore file keeps out of the build context', () => {
    const kept = read('infra/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const sources = copies.filter(({ from }) => !from).flatMap((copy) => copy.sources);
    const within = (source: string) => kept.some((entry) => entry === source || entry.startsWith(source));
    expect(sources.filter((source) => !within(source))).toEqual([]);
  });

  it('has the manifest of every workspace, which npm ci wants', () => {
    const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
    const manifests = workspaces.map((workspace) => workspace.replace('/*', ''));
    const sources = copies.flatMap((copy) => copy.sources.map((source) => source.replace('/package.json', '')));
    expect(manifests.filter((manifest) => !sources.includes(manifest))).toEqual([]);
  });

  it('takes things only from stages that it has defined, and base images without a registry', () => {
    const stages = instructions('FROM').map(([image, , name]) => ({ image, name }));
    const names = stages.map(({ name }) => name);
    expect(stages.every(({ image }) => /^[a-z]+:[a-z0-9-]+$/.test(image))).toBe(true);
    expect(copies.filter(({ from }) => from !== undefined && !names.includes(from))).toEqual([]);
  });

  it('ends as an unprivileged user, with an entry point that exists', () => {
    expect(instructions('USER').at(-1)).toEqual(['node']);
    const [entry] = instructions('ENTRYPOINT').map((words) => JSON.parse(words.join(' ')) as string[]);
    expect(existsSync(join(root, entry[1].replace(/^\/app\//, '')))).toBe(true);
  });

  it('builds with scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const used = [...read('infra/Dockerfile').matchAll(/npm run ([\w:]+)/g)].map((match) => match[1]);
    expect(used.length).toBeGreaterThan(0);
    expect(used.filter((script) => !(script in scripts))).toEqual([]);
  });
});

describe('compose.yaml', () => {
  const services = Object.entries(compose.services);

  it('has a coordinator, workers and a nats-server', () => {
    expect(services.map(([name]) => name).sort()).toEqual(['coordinator', 'nats', 'worker']);
  });

  it('names files, volumes and services that exist', () => {
    const { build } = compose.services.coordinator;
    expect(existsSync(resolve(infra, build!.context, build!.dockerfile))).toBe(true);
    for (const [, service] of services) {
      for (const [source] of (service.volumes ?? []).map((volume) => volume.split(':'))) {
        const known = source.startsWith('.') ? existsSync(join(infra, source)) : source in compose.volumes;
        expect(known, source).toBe(true);
      }
      for (const needed of Object.keys(service.depends_on ?? {})) expect(compose.services).toHaveProperty(needed);
    }
  });

  it('gives every container a token from the environment and no capability', () => {
    for (const [name, service] of services) {
      expect(JSON.stringify(service.environment), name).toMatch(/COORD_(NATS_)?TOKEN/);
      expect(service.cap_drop, name).toEqual(['ALL']);
    }
    expect(read('infra/compose.yaml')).toMatch(/\$\{COORD_TOKEN:\?/);
  });

  it('starts a configuration that the image holds', () => {
    const [, config] = compose.services.coordinator.command ?? [];
    const [, file] = /\$\{COORD_CONFIG:-\/app\/(.+)\}/.exec(config) ?? [];
    expect(existsSync(join(root, file))).toBe(true);
  });
});

/** Every `coord` command line in infra/ and in docs/deploy.md, as its words after the program's name. */
function commandLines(): string[][] {
  const inCompose = Object.values(compose.services).flatMap(({ build, image, command, healthcheck }) => {
    if (!build && image !== 'coord') return [];
    const test = healthcheck?.test ?? [];
    return [[...(command ?? [])], test.slice(test.findIndex((word) => word.endsWith('coord.js')) + 1)];
  });
  const inUnits = units.flatMap((unit) => [
    ...read(`infra/systemd/${unit}`).matchAll(/^ExecStart=.*coord\.js (.+)$/gm),
  ]);
  const inDocs = [
    ...read('docs/deploy.md').matchAll(/^(?:[A-Z_]+=\S+ )*(?:npx )?coord ((?:start|worker|status|eval|export) .+)$/gm),
  ];
  const written = [...inUnits, ...inDocs].map((match) => match[1].split(/\s+/));
  return [...inCompose, ...written].filter((words) => words.length > 0);
}

describe('every coord command line in infra/ and docs/deploy.md', () => {
  const lines = commandLines();
  const helpOf = async (command: string): Promise<string> =>
    (await run(process.execPath, [join(root, 'packages/cli/bin/coord.js'), command, '--help'])).stdout;

  it('is found: coordinator and worker, in compose, units and docs', () => {
    const count = (command: string) => lines.filter(([first]) => first === command).length;
    expect(count('start')).toBeGreaterThanOrEqual(3);
    expect(count('worker')).toBeGreaterThanOrEqual(3);
  });

  it('uses only commands and flags that coord --help lists', async () => {
    const commands = [...new Set(lines.map(([command]) => command))];
    const helps = new Map(await Promise.all(commands.map(async (name) => [name, await helpOf(name)] as const)));
    for (const [command, ...words] of lines) {
      expect(helps.get(command)).toMatch(new RegExp(`^Usage: coord ${command}\\b`));
      const flags = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]);
      for (const flag of flags)
        expect(helps.get(command), `coord ${command} ${flag}`).toMatch(new RegExp(`${flag}\\b`));
    }
  });
});

describe('the systemd units', () => {
  const section = (unit: string, name: string): string =>
    read(`infra/systemd/${unit}`)
      .split(/^\[/m)
      .find((text) => text.startsWith(`${name}]`)) ?? '';

  it.each(units)('%s runs a program of the repository, unprivileged, and may be stopped in order', (unit) => {
    const service = section(unit, 'Service');
    const [, program] = /^ExecStart=\/usr\/bin\/env node \/opt\/coord\/(\S+)/m.exec(service) ?? [];
    expect(existsSync(join(root, program))).toBe(true);
    for (const line of ['User=coord', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'SuccessExitStatus=130']) {
      expect(service.split('\n')).toContain(line);
    }
    expect(section(unit, 'Install')).toMatch(/WantedBy=multi-user.target/);
  });

  const hasSystemd = existsSync('/usr/bin/systemd-analyze');
  it.skipIf(!hasSystemd).each(units)('%s is valid, says systemd-analyze, and well confined', async (unit) => {
    const file = join(infra, 'systemd', unit);
    const { stderr } = await run('systemd-analyze', ['verify', '--man=no', file]);
    // Units of the machine itself are loaded too, and are none of our business.
    expect(stderr.split('\n').filter((line) => line.includes(unit))).toEqual([]);
    await run('systemd-analyze', ['security', '--offline=true', '--threshold=20', file]);
  });
});

describe('nats-server.conf', () => {
  const SERVER = '/usr/sbin/nats-server';
  const config = join(infra, 'nats-server.conf');
  const hasServer = existsSync(SERVER);
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
  });

  /** Starts the server on a free loopback port, which its log names. */
  async function start(token: string): Promise<number> {
    const args = ['-c', config, '-a', '127.0.0.1', '-p', '-1'];
    const server = spawn(SERVER, args, { env: { COORD_NATS_TOKEN: token }, stdio: ['ignore', 'ignore', 'pipe'] });
    stops.push(async () => {
      const gone = once(server, 'exit');
      if (server.kill()) await gone;
    });
    for await (const line of createInterface({ input: server.stderr })) {
      const port = /client connections on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port) return Number(port);
    }
    throw new Error('nats-server ended before it listened');
  }

  /** Connects, gives a token, pings; resolves with the server's greeting and its answer. */
  async function converse(port: number, token: string): Promise<{ info: string; answer: string }> {
    const socket = connect(port, '127.0.0.1');
    const [info, answer] = await new Promise<string[]>((done, fail) => {
      const lines: string[] = [];
      socket.on('error', fail);
      createInterface({ input: socket }).on('line', (line) => {
        lines.push(line);
        if (lines.length === 1) socket.write(`CONNECT {"verbose":false,"auth_token":"${token}"}\r\nPING\r\n`);
        if (lines.length === 2) done(lines);
      });
    });
    socket.destroy();
    return { info, answer };
  }

  it.skipIf(!hasServer)('is valid, and needs the token from the environment', async () => {
    const env = { COORD_NATS_TOKEN: 'secret' };
    expect(execFileSync(SERVER, ['-t', '-c', config], { env, stdio: 'pipe' })).toBeDefined();
    await expect(run(SERVER, ['-t', '-c', config], { env: {} })).rejects.toThrow(/COORD_NATS_TOKEN/);
  });

  it.skipIf(!hasServer)('lets in who knows the token and nobody else, and carries the largest message', async () => {
    const port = await start('secret');
    const { info, answer } = await converse(port, 'secret');
    expect(answer).toBe('PONG');
    expect(JSON.parse(info.replace(/^INFO /, ''))).toMatchObject({
      auth_required: true,
      max_payload: LIMITS.messageBytes,
    });
    expect((await converse(port, 'guess')).answer).toMatch(/^-ERR 'Authorization Violation'/);
  });
});
