import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { formatToken } from '@coord/protocol';
import { createCertificate } from '@coord/transport/certificate';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adviceFor } from '../src/doctor/advice.js';
import { watchClock } from '../src/doctor/clock.js';
import { reportOf } from '../src/doctor/engines.js';
import { instructionSetsIn, usableCores } from '../src/doctor/hardware.js';
import { examineCoordinator } from '../src/doctor/network.js';
import { probe } from '../src/doctor/probe.js';

const fixture = (name: string): string => new URL(`./fixtures/probe-${name}.mjs`, import.meta.url).pathname;
const question = { engine: 'ort', benchMs: 0 } as const;

describe('the probe of an engine', () => {
  it('survives a crash and says with which signal and last words', async () => {
    const outcome = await probe({ ...question, timeoutMs: 60_000, program: fixture('crashes') });
    expect(outcome).toMatchObject({ works: false, crash: expect.stringContaining('crashed with SIGABRT') });
  });

  it('ends a process that hangs', async () => {
    const outcome = await probe({ ...question, timeoutMs: 300, program: fixture('hangs') });
    expect(outcome).toEqual({ works: false, crash: 'it gave no answer within 0.3 s' });
  });

  it('notices a process that ends without an answer', async () => {
    const outcome = await probe({ ...question, timeoutMs: 60_000, program: fixture('ends') });
    expect(outcome).toEqual({ works: false, crash: 'its process ended with status 3' });
  });

  it('survives a program that is not there', async () => {
    const outcome = await probe({ ...question, timeoutMs: 60_000, program: fixture('is-missing') });
    expect(outcome).toMatchObject({ works: false, crash: expect.stringContaining('ended with status 1') });
  });

  it('becomes a reason and a cure in the report', () => {
    expect(reportOf('ort-cuda', { works: false, crash: 'its process crashed with SIGSEGV' })).toMatchObject({
      engine: 'ort-cuda',
      works: false,
      reason: 'its process crashed with SIGSEGV',
      howToGet: expect.stringContaining('CUDA 12'),
    });
  });
});

describe('the cores that count', () => {
  it.each([
    [8, '', 8],
    [8, 'max 100000', 8],
    [8, '200000 100000', 2],
    [8, '50000 100000', 1],
    [2, '800000 100000', 2],
  ])('of %i cores with the quota "%s" are %i', (cores, cpuMax, expected) => {
    expect(usableCores(cores, cpuMax)).toBe(expected);
  });
});

describe('instruction sets', () => {
  it('are found on x64 and arm64 by their names', () => {
    expect(instructionSetsIn('processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 fma\n')).toEqual([
      'sse4_2',
      'avx2',
      'fma',
    ]);
    expect(instructionSetsIn('Features\t: fp asimd sve\n')).toEqual(['asimd', 'sve']);
    expect(instructionSetsIn('')).toEqual([]);
  });
});

describe('the watch of the clocks', () => {
  const steady = (stepMs: number) => {
    let now = 0;
    return () => (now += stepMs);
  };

  it('finds nothing wrong with steady clocks', () => {
    const report = watchClock({ monotonicMs: steady(1), wallMs: () => 1e12 })();
    expect(report).toMatchObject({ isMonotonic: true, resolutionMs: 1 });
  });

  it('sees a monotonic clock that goes back', () => {
    let reading = 0;
    const monotonicMs = () => (reading++ === 100 ? 0 : reading);
    expect(watchClock({ monotonicMs, wallMs: () => 0 })().isMonotonic).toBe(false);
  });

  it('sees a wall clock that was set', () => {
    const wall = [1_000_000, 1_005_000];
    const report = watchClock({ monotonicMs: steady(1), wallMs: () => wall.shift() as number })();
    expect(report.wallClockJumpMs).toBe(5000 - 1);
  });
});

describe('advice', () => {
  it('is one worker a core on the CPU, one worker on a GPU', () => {
    expect(adviceFor(6, 'ort')).toMatchObject({ workers: 6, threads: 1 });
    expect(adviceFor(6, 'tfjs-cpu')).toMatchObject({ workers: 6, threads: 1 });
    expect(adviceFor(6, 'ort-webgpu')).toMatchObject({ workers: 1, threads: 1 });
  });
});

describe('the way to an encrypted coordinator', () => {
  async function serveHealth() {
    const certificate = await createCertificate(['127.0.0.1']);
    const heard: string[] = [];
    const server = createServer({ cert: certificate.certPem, key: certificate.keyPem }, (request, response) => {
      heard.push(JSON.stringify(request.headers));
      response.setHeader('content-type', 'application/json').end('{"ok":true,"timeMs":1}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return { address: `wss://127.0.0.1:${(server.address() as AddressInfo).port}`, certificate, heard };
  }

  it('is measured where the token names its certificate, and the secret stays here', async () => {
    const { address, certificate, heard } = await serveHealth();
    const token = formatToken({ secret: 'the secret', certificateSha256: certificate.sha256 });
    expect(await examineCoordinator(address, token)).toMatchObject({
      reachable: true,
      url: expect.stringMatching(/^https:/),
    });
    expect(heard.length).toBeGreaterThan(1);
    expect(heard.join()).not.toContain('the secret');
  });

  it('is a finding where it shows another certificate, or one that nobody vouches for', async () => {
    const { address, heard } = await serveHealth();
    const token = formatToken({ secret: 'the secret', certificateSha256: 'x'.repeat(43) });
    const reason = expect.stringContaining('was expected');
    expect(await examineCoordinator(address, token)).toMatchObject({ reachable: false, reason });
    const unvouched = expect.stringContaining('cannot be trusted');
    expect(await examineCoordinator(address)).toMatchObject({ reachable: false, reason: unvouched });
    expect(heard).toEqual([]);
  });
});
