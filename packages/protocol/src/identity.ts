/**
 * Numeric identity: what two workers must share for their grain gradients to have the same bits. It stands in the ledger;
 * "same weights" is promised between runs whose identities are equal.
 */
import { z } from 'zod';

export const numericIdentitySchema = z.object({
  engine: z.string().max(64),
  engineVersion: z.string().max(64),
  loweringVersion: z.number().int().min(0),
  /** Instruction set or device type, e.g. `x64-avx512`. */
  device: z.string().max(128),
  threads: z.number().int().min(1),
});
export type NumericIdentity = z.infer<typeof numericIdentitySchema>;

export const identityText = (identity: NumericIdentity): string =>
  `${identity.engine} ${identity.engineVersion} lowering ${identity.loweringVersion} on ${identity.device}, ${identity.threads} thread${identity.threads === 1 ? '' : 's'}`;
