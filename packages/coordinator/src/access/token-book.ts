/** The tokens of one run: who may do what, until when. Every change is kept before it is told. */
import { CoordError, createToken, isKeyedProof, KeyPair, keyedProof } from '@coord/protocol';
import { labelOf, stateOf, type TokenRecord, type TokenRole, type TokenSummary } from './token-record.js';

/** Records, dead ones included; beyond it the oldest dead ones are forgotten. */
const MAX_TOKENS = 256;

export interface TokenWish {
  readonly name: string;
  readonly role: TokenRole;
  /** Forever where it is left out. */
  readonly validMs?: number | undefined;
  /** Made up where it is left out. */
  readonly secret?: string;
}

/** All that is kept. */
export interface TokenPage {
  readonly tokens: readonly TokenRecord[];
  /** Known to the coordinator alone. */
  readonly runSecret: string;
}

export class TokenBook {
  #records: readonly TokenRecord[];
  readonly #runSecret: string;
  #lastId: number;
  #saved: Promise<void> = Promise.resolve();

  constructor(
    { tokens, runSecret }: TokenPage,
    /** Resolves when they are kept. */
    private readonly save: (page: TokenPage) => Promise<void>,
    private readonly nowUnixMs: () => number = Date.now,
  ) {
    this.#records = tokens;
    this.#runSecret = runSecret;
    this.#lastId = Math.max(0, ...tokens.map(({ id }) => Number(id.slice(1))));
  }

  /** A book of one token for workers, kept nowhere. */
  static of(secret: string): TokenBook {
    const only: TokenRecord = { id: 't1', name: 'join', role: 'worker', secret, createdAt: new Date(0).toISOString() };
    return new TokenBook({ tokens: [only], runSecret: `of ${secret}` }, async () => {});
  }

  /** Given to the worker of this id alone, so that nobody else of the run can come back as it. */
  returnKey(workerId: string): string {
    return keyedProof(this.#runSecret, ['coord return', workerId]);
  }

  isReturnKey(key: string, workerId: string): boolean {
    return isKeyedProof(key, this.#runSecret, ['coord return', workerId]);
  }

  /** What the run's coordinator is known by where whoever hears a question can answer it; the same after every start. */
  get standing(): KeyPair {
    return KeyPair.of(Buffer.from(keyedProof(this.#runSecret, ['coord standing key']), 'base64url'));
  }

  get summaries(): TokenSummary[] {
    return this.#records.map(({ secret: _, ...shown }) => ({ ...shown, state: this.state({ ...shown, secret: '' }) }));
  }

  state(record: TokenRecord) {
    return stateOf(record, this.nowUnixMs());
  }

  /** The newest valid token of this role, and of this name where one is given. */
  newest(role: TokenRole, name?: string): TokenRecord | undefined {
    return this.#records.findLast(
      (record) => record.role === role && (name ?? record.name) === record.name && this.state(record) === 'valid',
    );
  }

  /** The token, whatever its state, whose secret passes; each is tried, so that time does not tell which. */
  match(passes: (secret: string) => boolean): TokenRecord | undefined {
    const found = this.#records.filter(({ secret }) => passes(secret));
    return found.findLast((record) => this.state(record) === 'valid') ?? found.at(-1);
  }

  async create({ name, role, validMs, secret = createToken() }: TokenWish): Promise<TokenRecord> {
    const now = this.nowUnixMs();
    const record: TokenRecord = {
      id: `t${++this.#lastId}`,
      name,
      role,
      secret,
      createdAt: isoOf(now),
      expiresAt: validMs === undefined ? undefined : isoOf(now + validMs),
    };
    await this.#replace([...this.#living(), record]);
    return record;
  }

  /** @throws CoordError USAGE: no such token, or the last one of an operator. */
  async revoke(who: string): Promise<TokenRecord> {
    const record = this.#valid(who);
    this.#requireOperator(record);
    return this.#change(record, { revokedAt: isoOf(this.nowUnixMs()) });
  }

  /**
   * A new token of the same name and role; the old one works for `graceMs` more.
   *
   * @throws CoordError USAGE: no such token.
   */
  async rotate(who: string, graceMs: number): Promise<{ readonly old: TokenRecord; readonly fresh: TokenRecord }> {
    const record = this.#valid(who);
    const fresh = await this.create({ name: record.name, role: record.role });
    const now = this.nowUnixMs();
    const end = graceMs === 0 ? { revokedAt: isoOf(now) } : { expiresAt: isoOf(now + graceMs) };
    return { old: await this.#change(record, end), fresh };
  }

  #valid(who: string): TokenRecord {
    const valid = this.#records.filter((record) => this.state(record) === 'valid');
    const named = valid.filter(({ name }) => name === who);
    const record = valid.find(({ id }) => id === who) ?? (named.length === 1 ? named[0] : undefined);
    if (record) return record;
    throw new CoordError('USAGE', `there is no valid token "${who}", or several have this name`, {
      hint: '`coord token list RUN` lists them; ids (t1, t2 …) are never shared.',
    });
  }

  #requireOperator(gone: TokenRecord): void {
    const isLeft = (record: TokenRecord) =>
      record !== gone && record.role === 'operator' && this.state(record) === 'valid';
    if (gone.role !== 'operator' || this.#records.some(isLeft)) return;
    throw new CoordError('USAGE', `${labelOf(gone)} is the last token of an operator: nobody could make another one`, {
      hint: 'Rotate it instead, or make another token of the role operator first.',
    });
  }

  async #change(record: TokenRecord, changes: Partial<TokenRecord>): Promise<TokenRecord> {
    const changed = { ...record, ...changes };
    await this.#replace(this.#records.map((one) => (one.id === record.id ? changed : one)));
    return changed;
  }

  /** Room for one more. */
  #living(): readonly TokenRecord[] {
    if (this.#records.length < MAX_TOKENS) return this.#records;
    const oldest = this.#records.findIndex((record) => this.state(record) !== 'valid');
    if (oldest >= 0) return this.#records.toSpliced(oldest, 1);
    throw new CoordError('USAGE', `there are ${MAX_TOKENS} valid tokens already`, { hint: 'Revoke some of them.' });
  }

  async #replace(records: readonly TokenRecord[]): Promise<void> {
    this.#records = records;
    // What could not be kept is in force all the same, until this process ends; whoever asked for it is told.
    this.#saved = this.#saved
      .catch(() => {})
      .then(() => this.save({ tokens: this.#records, runSecret: this.#runSecret }));
    await this.#saved;
  }
}

const isoOf = (unixMs: number): string => new Date(unixMs).toISOString();
