import { appendFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openLedger, readDamagedLedger, readLedger } from '../src/ledger.js';
import type { LedgerEntry } from '../src/ledger-entries.js';
import { FakeClock } from './fake-clock.js';
import { hashAt, temporaryDirectory } from './fixtures.js';

const started: LedgerEntry = {
  type: 'run-started',
  runId: 'r',
  configSha256: 'a'.repeat(64),
  step: 0,
  weightsSha256: hashAt(0),
};

const stepEntry = (step: number): LedgerEntry => ({
  type: 'step',
  step,
  epoch: 0,
  generation: 1,
  weightsSha256: hashAt(step),
  loss: 0.5,
  accuracy: 0.25,
  metrics: {
    top5: 0.75,
    auc: null,
    confusionMatrix: [
      [3, 1],
      [0, 12],
    ],
  },
  samples: 16,
  skipped: false,
});

const viewEntry = (generation: number): LedgerEntry => ({
  type: 'view',
  generation,
  members: [{ workerId: 'w1', share: 1 }],
  reason: 'w1 ("alpha") is ready\n',
});

const newPath = async (): Promise<string> => join(await temporaryDirectory(), 'ledger.jsonl');

async function written(entries: readonly LedgerEntry[]): Promise<{ path: string; bytes: Buffer }> {
  const path = await newPath();
  const ledger = await openLedger(path);
  for (const entry of entries) ledger.append(entry);
  await ledger.close();
  return { path, bytes: await readFile(path) };
}

const ENTRIES = [started, viewEntry(1), stepEntry(1), stepEntry(2), viewEntry(2)];

describe('a ledger', () => {
  it('gives back what was appended, in order and numbered', async () => {
    const { path } = await written(ENTRIES);
    const records = await readLedger(path);
    expect(records.map(({ entry }) => entry)).toEqual(ENTRIES);
    expect(records.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
  });

  it('goes on where it ended', async () => {
    const { path } = await written(ENTRIES);
    const again = await openLedger(path);
    expect(again.past).toHaveLength(ENTRIES.length);
    again.append(stepEntry(3));
    await again.close();
    expect((await readLedger(path)).at(-1)).toMatchObject({ seq: 6, entry: { step: 3 } });
  });

  it('holds one JSON object a line, readable by anything', async () => {
    const { bytes } = await written(ENTRIES);
    const lines = bytes.toString().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).record.entry.type)).toEqual(ENTRIES.map(({ type }) => type));
  });

  it('writes steps a second late at most, and views at once', async () => {
    const clock = new FakeClock();
    const path = await newPath();
    const ledger = await openLedger(path, { clock });
    ledger.append(stepEntry(1));
    ledger.append(stepEntry(2));
    expect(clock.pending).toBe(1);
    expect(await readLedger(path)).toHaveLength(0);
    expect(ledger.recordedStep).toBe(0);
    clock.advance(1000);
    await ledger.flush();
    expect(await readLedger(path)).toHaveLength(2);
    expect(ledger.recordedStep).toBe(2);
    ledger.append(stepEntry(3));
    ledger.append(viewEntry(1));
    await ledger.flush();
    expect(await readLedger(path)).toHaveLength(4);
    expect(clock.pending).toBe(0);
    await ledger.close();
    const again = await openLedger(path);
    expect(again.recordedStep).toBe(3);
    await again.close();
  });

  it('torn at any byte comes back as the whole lines before, and goes on from there', async () => {
    const { bytes } = await written(ENTRIES);
    const path = await newPath();
    for (let length = 0; length <= bytes.length; length++) {
      const torn = bytes.subarray(0, length);
      await writeFile(path, torn);
      const whole = torn.toString().split('\n').length - 1;
      const ledger = await openLedger(path);
      expect(ledger.past.map(({ entry }) => entry)).toEqual(ENTRIES.slice(0, whole));
      expect(ledger.tornBytes).toBe(length - (torn.lastIndexOf(10) + 1));
      ledger.append(viewEntry(9));
      await ledger.close();
      expect(await readLedger(path)).toHaveLength(whole + 1);
    }
  }, 120_000);

  it('with any whole line damaged is refused, naming file and line', async () => {
    const { path, bytes } = await written(ENTRIES);
    const property = fc.asyncProperty(
      fc.integer({ min: 0, max: bytes.length - 2 }),
      fc.integer({ min: 1, max: 255 }),
      async (at, change) => {
        const damaged = Buffer.from(bytes);
        damaged[at] ^= change;
        await writeFile(path, damaged);
        const error = await readLedger(path).catch((thrown) => thrown);
        expect(error).toMatchObject({ code: 'LEDGER_CORRUPT', exitCode: 4 });
        const line = bytes
          .subarray(0, at + 1)
          .toString('latin1')
          .split('\n').length;
        const isNewline = bytes[at] === 10;
        expect(error.facts.file).toBe(path);
        if (!isNewline) expect([line, line + 1]).toContain(error.facts.line);
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  it('with damaged lines still says what the others say, to who wants to see it, and names those', async () => {
    const { path, bytes } = await written(ENTRIES);
    const lines = bytes.toString().trimEnd().split('\n');
    const changed = (at: number, how: (line: string) => string) =>
      lines.map((line, i) => (i === at ? how(line) : line));
    const cases: [readonly string[], readonly number[], readonly number[]][] = [
      [lines, [], [0, 1, 2, 3, 4]],
      [changed(1, (line) => line.replace('"seq":2', '"seq":7')), [2], [0, 2, 3, 4]],
      [changed(1, (line) => `x${line.slice(1)}`), [2], [0, 2, 3, 4]],
      [changed(4, () => '{"sha256":'), [5], [0, 1, 2, 3]],
      [lines.filter((_, i) => i !== 2), [3], [0, 1, 4]],
      [changed(0, () => ''), [1], [1, 2, 3, 4]],
    ];
    for (const [forged, damaged, kept] of cases) {
      await writeFile(path, `${forged.join('\n')}\n`);
      const { records, damage } = await readDamagedLedger(path);
      expect(damage.map(({ line }) => line)).toEqual(damaged);
      expect(records.map(({ entry }) => entry)).toEqual(kept.map((at) => ENTRIES[at]));
    }
  });

  it('with lines removed, doubled or swapped is refused', async () => {
    const { path, bytes } = await written(ENTRIES);
    const lines = bytes.toString().trimEnd().split('\n');
    const forgeries = [
      [lines[0], lines[2]],
      [lines[0], lines[0], lines[1]],
      [lines[0], lines[2], lines[1]],
      [lines[1]],
    ];
    for (const forged of forgeries) {
      await writeFile(path, `${forged.join('\n')}\n`);
      await expect(readLedger(path)).rejects.toMatchObject({ code: 'LEDGER_CORRUPT' });
    }
  });

  it('with a foreign line at its end is refused', async () => {
    const { path } = await written(ENTRIES);
    await appendFile(path, 'hello\n');
    const error = await openLedger(path).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'LEDGER_CORRUPT', facts: { line: 6 } });
    expect(error.message).toContain(path);
  });

  it('that cannot be read is an error that says why and what to do, and is left as it is', async () => {
    const path = await newPath();
    await mkdir(path);
    const refusal = {
      code: 'LEDGER_CORRUPT',
      message: expect.stringMatching(/ledger\.jsonl cannot be read: EISDIR/),
      hint: expect.stringContaining('this user may read and write it'),
      facts: { file: path, errno: 'EISDIR' },
    };
    await expect(readLedger(path)).rejects.toMatchObject(refusal);
    await expect(openLedger(path)).rejects.toMatchObject(refusal);
    expect((await stat(path)).isDirectory()).toBe(true);
  });

  it('that does not exist is empty', async () => {
    expect(await readLedger(await newPath())).toEqual([]);
  });
});
