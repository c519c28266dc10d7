/**
 * Text that comes from a socket and goes to somebody's terminal or log. It must not command a terminal (ESC and the like), nor turn
 * the order in which what stands around it is read.
 */
import { z } from 'zod';
import { LIMITS } from './limits.js';

const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
/** A stack has lines, and a table may have tabs. */
const UNPRINTABLE_IN_TEXT = /(?![\n\t])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

export const nameSchema = z
  .string()
  .min(1)
  .max(LIMITS.nameLength)
  .refine((name) => !UNPRINTABLE.test(name), 'it has characters that cannot be printed');

export const printable = (text: string): string => text.replace(UNPRINTABLE_IN_TEXT, '\ufffd');

export const textSchema = z.string().max(LIMITS.textLength).transform(printable);
