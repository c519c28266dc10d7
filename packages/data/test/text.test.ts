import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prepare, readSamples } from './datasets.js';
import { coordErrorOf, directoryWith } from './files.js';

const CONFIG = { source: 'text', file: 'text', sequenceLength: 4 };
const open = async (text: string | Uint8Array, config: object = {}, test: string | Uint8Array = '') =>
  prepare({ ...CONFIG, ...config }, await directoryWith({ text, test }));
const codes = (text: string) => Int32Array.from(Buffer.from(text));

describe('a text dataset', () => {
  it('gives bytes, and the same one further as targets', async () => {
    const dataset = await open('abcdefghij');
    const batch = await readSamples(dataset, [0, 1]);
    expect(dataset.manifest.train.samples).toBe(2);
    expect(dataset.manifest.classes).toBe(256);
    expect(batch.inputs).toEqual([codes('abcdefgh')]);
    expect(batch.targets).toEqual([codes('bcdefghi')]);
  });

  it('lets samples overlap by a stride', async () => {
    const batch = await readSamples(await open('abcdefghij', { stride: 2 }), [0, 1, 2]);
    expect(batch.inputs[0]).toEqual(codes('abcdcdefefgh'));
    expect(batch.targets[0]).toEqual(codes('bcdedefgfghi'));
  });

  it('numbers the characters that occur by code point', async () => {
    const dataset = await open('añ😀añ😀', { level: 'char' });
    expect(dataset.classNames).toEqual(['a', 'ñ', '😀']);
    expect((await readSamples(dataset, [0])).inputs[0]).toEqual(Int32Array.of(0, 1, 2, 0));
    expect((await readSamples(dataset, [0])).targets[0]).toEqual(Int32Array.of(1, 2, 0, 1));
  });

  it('stores alphabets of more than 256 characters as words', async () => {
    const text = String.fromCodePoint(...Array.from({ length: 300 }, (_, index) => 0x4e00 + index));
    const dataset = await open(text, { level: 'char' });
    expect(dataset.manifest.fields[0].storage).toBe('int32');
    expect((await readSamples(dataset, [70])).inputs[0]).toEqual(Int32Array.of(280, 281, 282, 283));
  });

  it('cuts a test split from the end', async () => {
    const dataset = await open('0123456789abcdefghij', { testFraction: 0.5 });
    expect((await readSamples(dataset, [0, 1])).targets[0]).toEqual(codes('12345678'));
    expect((await readSamples(dataset, [0], 'test')).inputs[0]).toEqual(codes('abcd'));
    expect([dataset.manifest.train.samples, dataset.manifest.test?.samples]).toEqual([2, 2]);
  });

  it('takes a test file of its own, with one alphabet for both', async () => {
    const dataset = await open('aaaacc', { level: 'char', test: 'test' }, 'bbbbb');
    expect(dataset.classNames).toEqual(['a', 'b', 'c']);
    expect((await readSamples(dataset, [0], 'test')).inputs[0]).toEqual(Int32Array.of(1, 1, 1, 1));
  });

  it('predicts every byte but the first exactly once when the stride is the length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 5, maxLength: 200 }), async (text) => {
        // A gzipped file would be inflated first.
        fc.pre(text[0] !== 0x1f);
        const dataset = await open(text);
        const { samples } = dataset.manifest.train;
        const all = await readSamples(dataset, [...Array(samples).keys()]);
        expect(samples).toBe(Math.floor((text.length - 1) / 4));
        expect([...all.targets[0]]).toEqual([...text.subarray(1, 1 + samples * 4)]);
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ['empty', ''],
    ['one token short', 'abcd'],
  ])('refuses a text that is %s', async (_what, text) => {
    const error = await coordErrorOf(open(text));
    expect(error.message).toMatch(new RegExp(`expected more than 4 tokens .* found ${text.length}`));
  });

  it('refuses what is not UTF-8, with the byte', async () => {
    const error = await coordErrorOf(open(Buffer.from([0x61, 0xc3, 0xb1, 0x61, 0xff, 0x61]), { level: 'char' }));
    expect(error.message).toMatch(/text, byte 4: expected UTF-8 text/);
  });

  it('refuses a text that ends inside a character', async () => {
    const error = await coordErrorOf(open(Buffer.from([0x61, 0x61, 0xc3]), { level: 'char' }));
    expect(error.message).toMatch(/text, byte 3: expected UTF-8 text/);
  });
});
