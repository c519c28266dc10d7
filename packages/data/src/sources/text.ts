/** Next-token samples: sample i is tokens [i·stride, i·stride + T); its target is the same, one token further. */
import { resolve } from 'node:path';
import type { Field } from '@coord/protocol';
import { openByteFile } from '../byte-file.js';
import type { TextConfig } from '../config.js';
import { invalidData } from '../invalid.js';
import { bytesOf, type Source, type SplitSource } from './source.js';

type TokenArray = Uint8Array | Int32Array;

interface Tokens {
  readonly file: string;
  readonly length: number;
  read(first: number, count: number): Promise<TokenArray>;
}

interface Alphabet {
  readonly size: number;
  /** What the tokens stand for; bytes have no names. */
  readonly names?: readonly string[];
}

const BYTE_CLASSES = 256;

/** @throws CoordError DATASET_INVALID when a file is missing, too short for one sample, or (level char) not UTF-8. */
export async function openText(config: TextConfig, directory: string): Promise<Source> {
  const files = [config.file, ...(config.test === undefined ? [] : [config.test])].map((file) =>
    resolve(directory, file),
  );
  const { texts, alphabet } = config.level === 'byte' ? await openBytes(files) : await openCharacters(files);
  const [train, test] = texts.length > 1 || config.testFraction === 0 ? texts : cutEnd(texts[0], config.testFraction);
  const storage = alphabet.size <= BYTE_CLASSES ? 'uint8' : 'int32';
  return {
    name: 'text',
    fields: [tokenField('tokens', 'input', config, storage), tokenField('next', 'target', config, storage)],
    classes: Math.max(2, alphabet.size),
    classNames: alphabet.names,
    train: splitOf(train, config),
    test: test && splitOf(test, config),
  };
}

function tokenField(name: string, role: Field['role'], config: TextConfig, storage: Field['storage']): Field {
  return { name, role, shape: [config.sequenceLength], storage, dtype: 'int32', scale: 1, offset: 0 };
}

async function openBytes(files: readonly string[]): Promise<{ texts: Tokens[]; alphabet: Alphabet }> {
  const texts = await Promise.all(
    files.map(async (file) => {
      const { sizeBytes, read } = await openByteFile(file);
      return { file, length: sizeBytes, read };
    }),
  );
  return { texts, alphabet: { size: BYTE_CLASSES } };
}

/** The alphabet is that of all files together, sorted by code point, so that it depends on their content alone. */
async function openCharacters(files: readonly string[]): Promise<{ texts: Tokens[]; alphabet: Alphabet }> {
  const contents = await Promise.all(files.map(readUtf8));
  const points = contents.map((text) => Int32Array.from(text, (character) => character.codePointAt(0) ?? 0));
  const alphabet = [...new Set(points.flatMap((codes) => [...new Set(codes)]))].sort((a, b) => a - b);
  const tokenOf = new Map(alphabet.map((code, token) => [code, token]));
  const texts = points.map((codes, index) => {
    const numbers = codes.map((code) => tokenOf.get(code) ?? 0);
    const tokens = alphabet.length <= BYTE_CLASSES ? Uint8Array.from(numbers) : numbers;
    const read = async (first: number, count: number): Promise<TokenArray> => tokens.subarray(first, first + count);
    return { file: files[index], length: tokens.length, read };
  });
  return { texts, alphabet: { size: alphabet.length, names: alphabet.map((code) => String.fromCodePoint(code)) } };
}

async function readUtf8(file: string): Promise<string> {
  const { sizeBytes, read } = await openByteFile(file);
  const bytes = await read(0, sizeBytes);
  if (decodes(bytes, false)) return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  const offsetBytes = firstInvalidByte(bytes);
  throw invalidData({ file, offsetBytes }, 'expected UTF-8 text, found a byte sequence that is none', {
    hint: 'Convert the file to UTF-8, or set data.level to byte.',
  });
}

function decodes(bytes: Uint8Array, mayEndInside: boolean): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: mayEndInside });
    return true;
  } catch {
    return false;
  }
}

/** Binary search for the shortest prefix that no further bytes can make valid; its last byte is the culprit. */
function firstInvalidByte(bytes: Uint8Array): number {
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = Math.floor((valid + invalid) / 2);
    if (decodes(bytes.subarray(0, middle), true)) valid = middle;
    else invalid = middle;
  }
  return invalid - 1;
}

function cutEnd(text: Tokens, fraction: number): [Tokens, Tokens] {
  const length = Math.floor(text.length * (1 - fraction));
  const tail = (first: number, count: number) => text.read(length + first, count);
  return [
    { ...text, length },
    { file: text.file, length: text.length - length, read: tail },
  ];
}

function splitOf(tokens: Tokens, config: TextConfig): SplitSource {
  const { sequenceLength } = config;
  const stride = config.stride ?? sequenceLength;
  if (tokens.length <= sequenceLength) {
    const problem = `expected more than ${sequenceLength} tokens (sequenceLength) in this split, found ${tokens.length}`;
    throw invalidData({ file: tokens.file }, problem, { hint: 'Use a longer text or a shorter data.sequenceLength.' });
  }
  return {
    samples: Math.floor((tokens.length - 1 - sequenceLength) / stride) + 1,
    async readField(field, first, count) {
      const span = await tokens.read(first * stride + field, (count - 1) * stride + sequenceLength);
      return stride === sequenceLength ? bytesOf(span) : cutWindows(span, count, stride, sequenceLength);
    },
  };
}

function cutWindows(span: TokenArray, count: number, stride: number, length: number): Uint8Array {
  const out = span instanceof Uint8Array ? new Uint8Array(count * length) : new Int32Array(count * length);
  for (let index = 0; index < count; index++) {
    out.set(span.subarray(index * stride, index * stride + length), index * length);
  }
  return bytesOf(out);
}
