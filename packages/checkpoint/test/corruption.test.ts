import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CoordError, isCoordError } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint, saveCheckpoint } from '../src/index.js';
import { manifestText, sealManifest } from '../src/manifest.js';
import { decodeSafetensors, encodeSafetensors, type Tensor } from '../src/safetensors.js';
import { infoOfStep, stateOfStep } from './children/states.mjs';
import { scratch } from './scratch.js';

const FILES = ['weights.safetensors', 'optimizer.safetensors', 'manifest.json'];

async function saved() {
  const runDir = await scratch();
  for (const step of [1, 2]) await saveCheckpoint(runDir, stateOfStep(step), infoOfStep(step), { keepLast: 5 });
  const path = join(runDir, 'checkpoints', 'step-00000002');
  const contents = await Promise.all(FILES.map((name) => readFile(join(path, name))));
  return { runDir, path, contents: new Map(FILES.map((name, index) => [name, contents[index]])) };
}

const failureOf = async (path: string): Promise<CoordError> => {
  const error: unknown = await loadCheckpoint(path).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CoordError);
  return error as CoordError;
};

async function expectCorrupt(path: string, name: string): Promise<void> {
  const error = await failureOf(path);
  expect(error.code).toBe('CHECKPOINT_CORRUPT');
  expect(error.message).toContain(join(path, name));
  expect(error.hint).toContain('step-00000001');
}

describe('a checkpoint with changed bytes is never loaded:', () => {
  it('any flip in any byte of any file is found, and the file is named', async () => {
    const { path, contents } = await saved();
    const cases = fc.record({
      name: fc.constantFrom(...FILES),
      place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      mask: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ name, place, mask }) => {
        const content = Uint8Array.from(contents.get(name)!);
        content[Math.floor(place * content.length)] ^= mask;
        await writeFile(join(path, name), content);
        await expectCorrupt(path, name);
        await writeFile(join(path, name), contents.get(name)!);
      }),
      { numRuns: 200 },
    );
    expect((await loadCheckpoint(path)).state).toEqual(stateOfStep(2));
  });

  it.each(FILES)('%s cut off anywhere, or with something behind it', async (name) => {
    const { path, contents } = await saved();
    const whole = contents.get(name)!;
    const ends = [0, 1, 7, 8, 9, 100, whole.length >> 1, whole.length - 1];
    for (const content of [...ends.map((end) => whole.subarray(0, end)), Buffer.concat([whole, Buffer.from('\n')])]) {
      await writeFile(join(path, name), content);
      await expectCorrupt(path, name);
    }
  });

  it.each(FILES)('%s missing, or a directory', async (name) => {
    const { path } = await saved();
    await rm(join(path, name));
    await expectCorrupt(path, name);
    await mkdir(join(path, name));
    await expectCorrupt(path, name);
  });

  it.skipIf(process.platform === 'win32')(
    'a pipe, to which nobody writes, in the place of a file (not on Windows)',
    async () => {
      const { path } = await saved();
      for (const name of FILES) {
        await rm(join(path, name));
        execFileSync('mkfifo', [join(path, name)]);
      }
      await expectCorrupt(path, 'manifest.json');
    },
  );

  it('files of one checkpoint in the directory of another', async () => {
    const { path, runDir } = await saved();
    await cp(join(runDir, 'checkpoints', 'step-00000001', FILES[1]), join(path, FILES[1]));
    await expectCorrupt(path, FILES[1]);
  });
});

describe('a manifest that was edited and sealed again', () => {
  const edited = async (edit: (manifest: Awaited<ReturnType<typeof loadCheckpoint>>['manifest']) => object) => {
    const { path } = await saved();
    const { manifestSha256: _, ...body } = (await loadCheckpoint(path)).manifest;
    const sealed = sealManifest({ ...body, ...edit({ ...body, manifestSha256: '' }) });
    await writeFile(join(path, 'manifest.json'), manifestText(sealed));
    return failureOf(path);
  };

  it('with another shape does not fit the tensors', async () => {
    const error = await edited(({ parameters }) => ({
      parameters: parameters.map((one) => (one.name === 'out/kernel' ? { ...one, shape: [4, 13] } : one)),
    }));
    expect(error.message).toContain('tensor out/kernel is F32 [13, 4], not the F32 [4, 13] of its manifest');
  });

  it('with a parameter too many, or a slot too few, does not fit either', async () => {
    const more = await edited(({ parameters }) => ({ parameters: [...parameters, { ...parameters[0], name: 'x' }] }));
    expect(more.message).toContain('tensor x is missing');
    const fewer = await edited(() => ({ slots: [] }));
    expect(fewer.message).toContain('its manifest does not know tensor firstMoment/dense/kernel');
  });

  it('with another weight hash does not fit the values', async () => {
    const error = await edited(() => ({ weightsSha256: '0'.repeat(64) }));
    expect(error.message).toContain('its values do not fit weightsSha256');
  });

  it('of another step does not fit the state', async () => {
    expect((await edited(() => ({ step: 3 }))).message).toContain('its values do not fit stateSha256');
  });

  it('of a later format says so', async () => {
    const error = await edited(() => ({ formatVersion: 2 }));
    expect(error).toMatchObject({ code: 'CHECKPOINT_MISMATCH', hint: expect.stringContaining('version of coord') });
  });
});

describe('a checkpoint that is not there', () => {
  it('is not found, and the hint names the newest intact one beside it', async () => {
    const { runDir } = await saved();
    const error = await failureOf(join(runDir, 'checkpoints', 'step-00000077'));
    expect(error.code).toBe('CHECKPOINT_NOT_FOUND');
    expect(error.hint).toContain('step-00000002');
  });

  it('with nothing beside it says what remains to be done', async () => {
    const error = await failureOf(join(await scratch(), 'step-00000001'));
    expect(error.hint).toContain('start the run again');
  });
});

describe('safetensors', () => {
  const bytesOf = (values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const tensors: Tensor[] = [
    { name: 'a', dtype: 'F32', shape: [2, 1], bytes: bytesOf([1, 2]) },
    { name: 'empty', dtype: 'F32', shape: [0, 3], bytes: bytesOf([]) },
    { name: 'scalar', dtype: 'F32', shape: [], bytes: bytesOf([3]) },
    { name: 'u', dtype: 'U8', shape: [3], bytes: Uint8Array.of(4, 5, 6) },
  ];
  const fileOf = (header: unknown, dataBytes: number): Uint8Array => {
    const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, Buffer.alloc(dataBytes)]);
  };
  const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });

  it('reads what it writes, scalars and empty tensors too, and aligns the data', () => {
    const file = Buffer.concat(encodeSafetensors(tensors, { step: '1' }));
    expect(
      [...decodeSafetensors(file, 'f').values()].map((one) => ({ ...one, bytes: Uint8Array.from(one.bytes) })),
    ).toEqual(tensors);
    expect(Number(file.readBigUInt64LE(0)) % 8).toBe(0);
  });

  it('refuses to write two tensors of one name', () => {
    expect(() => encodeSafetensors([tensors[0], tensors[0]])).toThrow('share a name');
  });

  const cases: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(0), "ends inside the header's length"],
    ['a header longer than the file', Buffer.from('ffffff0000000000', 'hex'), 'announce a header of 16777215 bytes'],
    ['a header of 2⁶⁴ bytes', Buffer.from('ffffffffffffffff7b7d', 'hex'), 'announce a header of'],
    ['a header that is no JSON', fileOf('{"a":', 0), 'is no JSON'],
    ['a header that is no UTF-8', Buffer.from('0400000000000000ff7b7d20', 'hex'), 'is no JSON'],
    ['a header that is a list', fileOf([], 0), 'wrong at the top'],
    ['a header that is null', fileOf('null', 0), 'wrong at the top'],
    ['a shape with a negative extent', fileOf({ a: entry(0, 4, [-1]) }, 4), 'wrong at a.shape.0'],
    ['an offset that is no whole number', fileOf({ a: entry(0, 4.5, [1]) }, 4), 'wrong at a.data_offsets.1'],
    ['an unknown dtype', fileOf({ a: entry(0, 4, [2], 'BF16') }, 4), 'has dtype BF16'],
    ['a dtype that is the name of a method', fileOf({ a: entry(0, 4, [1], 'toString') }, 4), 'has dtype toString'],
    ['overlapping tensors', fileOf({ a: entry(0, 8), b: entry(4, 12) }, 12), 'tensor b begins at data byte 4, inside'],
    [
      'a hole between tensors',
      fileOf({ a: entry(0, 4), b: entry(8, 12) }, 12),
      'tensor b begins at data byte 8, behind',
    ],
    ['a tensor larger than its shape', fileOf({ a: entry(0, 8, [1]) }, 8), 'of shape [1] needs 4 bytes'],
    ['a shape whose size overflows', fileOf({ a: entry(0, 8, [2 ** 40, 2 ** 40]) }, 8), 'needs'],
    ['a tensor that ends behind the file', fileOf({ a: entry(0, 8) }, 4), 'ends at data byte 8, the file at 4'],
    ['data that no tensor has', fileOf({ a: entry(0, 4) }, 8), 'its tensors end at data byte 4, the file at 8'],
  ];
  it.each(cases)('%s is refused', (_, content, message) => {
    expect(() => decodeSafetensors(content, 'some/file')).toThrow(
      expect.objectContaining({
        code: 'CHECKPOINT_CORRUPT',
        message: expect.stringContaining(message),
        facts: { file: 'some/file' },
      }),
    );
  });

  it('never fails in another way, and never leaves the file, whatever the bytes are', () => {
    const whole = Buffer.concat(encodeSafetensors(tensors));
    const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 });
    const garbled = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(flips, fc.nat(whole.length)).map(([places, end]) => {
        const content = Uint8Array.from(whole);
        for (const [at, value] of places) content[at] = value;
        return end % 3 === 0 ? content.subarray(0, end) : content;
      }),
    );
    fc.assert(
      fc.property(garbled, (content) => {
        try {
          const total = [...decodeSafetensors(content, 'f').values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
          expect(total).toBeLessThan(content.length);
        } catch (error) {
          if (!isCoordError(error, 'CHECKPOINT_CORRUPT')) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
