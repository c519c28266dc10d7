/**
 * Who is right when replicas at one step differ. Pure, and the same on every rank.
 *
 * Each witness tells the hash of its state as it is now, and whether its weights still are what came out of its last update. A
 * replica whose weights have changed since (a bit that flipped in memory) knows itself that it is wrong, so it has no vote. Of
 * the others more than half must agree; where they do not, nobody can say who is right.
 */
import { CoordError } from '@coord/protocol';

export interface Testimony {
  readonly step: number;
  /** Of the weights as they are now. */
  readonly weightsSha256: string;
  /** Of weights, slots, exponents and step. */
  readonly stateSha256: string;
  /** The weights are what the last update left. */
  readonly isIntact: boolean;
}

export interface ReplicaVerdict {
  /** Ranks whose state the others copy; empty when nobody can say who is right. */
  readonly sources: readonly number[];
  /** Ranks at the highest step with another state than the sources. */
  readonly dissenters: readonly number[];
}

/** @param testimonies by rank; only those of the highest step count. */
export function judgeReplicas(testimonies: readonly Testimony[]): ReplicaVerdict {
  const step = Math.max(...testimonies.map((testimony) => testimony.step));
  const ranks = [...testimonies.keys()].filter((rank) => testimonies[rank].step === step);
  const opinionOf = (rank: number) => testimonies[rank].stateSha256;
  const voters = ranks.filter((rank) => testimonies[rank].isIntact);
  const winner = voters
    .map(opinionOf)
    .find((opinion) => voters.filter((rank) => opinionOf(rank) === opinion).length * 2 > voters.length);
  if (winner === undefined) return { sources: [], dissenters: ranks };
  return {
    sources: ranks.filter((rank) => opinionOf(rank) === winner),
    dissenters: ranks.filter((rank) => opinionOf(rank) !== winner),
  };
}

const HASH_BYTES = 32;
export const TESTIMONY_BYTES = 5 + 2 * HASH_BYTES;

export function encodeTestimony({ step, weightsSha256, stateSha256, isIntact }: Testimony): Uint8Array {
  const bytes = Buffer.alloc(TESTIMONY_BYTES);
  bytes.writeUInt32LE(step, 0);
  bytes.writeUInt8(isIntact ? 1 : 0, 4);
  bytes.write(weightsSha256, 5, HASH_BYTES, 'hex');
  bytes.write(stateSha256, 5 + HASH_BYTES, HASH_BYTES, 'hex');
  return bytes;
}

/** @throws CoordError MESSAGE_INVALID when these are no bytes that `encodeTestimony` makes. */
export function decodeTestimony(data: Uint8Array): Testimony {
  if (data.byteLength !== TESTIMONY_BYTES || data[4] > 1) throw noTestimony();
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return {
    step: bytes.readUInt32LE(0),
    isIntact: bytes.readUInt8(4) === 1,
    weightsSha256: bytes.toString('hex', 5, 5 + HASH_BYTES),
    stateSha256: bytes.toString('hex', 5 + HASH_BYTES, TESTIMONY_BYTES),
  };
}

const noTestimony = (): CoordError =>
  new CoordError('MESSAGE_INVALID', 'a member of the ring sent something else than what its state is', {
    hint: 'Use one version of coord on all machines.',
  });
