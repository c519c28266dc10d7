/** Hyper-parameters that several models share. */
import { z } from 'zod';

export const extent = z.number().int().min(1).max(1_000_000);
export const classes = z.number().int().min(2).max(1_000_000).describe('Outputs, one a class.').default(10);
export const imageShape = z.tuple([extent, extent, extent]).describe('Height, width, channels.');
export const dropoutRate = z.number().min(0).lt(1).describe('Share of values that dropout sets to zero.');
