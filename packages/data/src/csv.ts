/** Reads one CSV file, streaming, into typed arrays; every cell is checked. */
import { createReadStream } from 'node:fs';
import { CsvError, parse } from 'csv-parse';
import { openByteFile } from './byte-file.js';
import type { CsvConfig } from './config.js';
import { GrowingFloat32, GrowingInt32 } from './growing.js';
import { invalidData } from './invalid.js';

/** A longer row is taken for an unclosed quote. */
const MAX_ROW_CHARACTERS = 64 * 1024 * 1024;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

type CsvOptions = Pick<CsvConfig, 'columns' | 'target' | 'task' | 'furtherTargets' | 'weight' | 'delimiter'>;

/** What one target of a table consists of. */
interface TargetOptions {
  readonly names: readonly string[];
  readonly task: CsvConfig['task'];
}

interface CsvLabels {
  /** Different labels, in the order in which they appear. */
  readonly names: readonly string[];
  /** Line on which each appears first. */
  readonly firstLines: readonly number[];
  /** Index in `names`, one a row. */
  readonly codes: Int32Array;
}

export interface CsvTarget {
  readonly columns: readonly string[];
  /** Row by row; empty for a classification. */
  readonly values: Float32Array;
  /** Empty for a regression. */
  readonly labels: CsvLabels;
}

export interface CsvTable {
  readonly file: string;
  readonly samples: number;
  readonly inputColumns: string[];
  /** Row by row. */
  readonly inputs: Float32Array;
  readonly targets: readonly CsvTarget[];
  /** One a row; empty where there is no column of weights. */
  readonly weights: Float32Array;
}

interface Row {
  readonly cells: readonly string[];
  /** Line on which the row ends. */
  readonly line: number;
}

interface Columns {
  readonly inputs: readonly Column[];
  readonly targets: readonly TargetColumns[];
  readonly weight: Column | undefined;
}

interface TargetColumns {
  readonly task: CsvConfig['task'];
  readonly columns: readonly Column[];
}

interface Column {
  readonly name: string;
  readonly index: number;
}

/** @throws CoordError DATASET_INVALID naming file, line and column. */
export async function readCsv(file: string, options: CsvOptions): Promise<CsvTable> {
  await openByteFile(file);
  const rows = rowsOf(file, options.delimiter);
  const header = await rows.next();
  if (header.done) throw invalidData({ file, line: 1 }, 'expected a header line, found an empty file');
  const columns = chooseColumns(file, header.value.cells, options);
  const collector = new RowCollector(file, columns);
  for await (const row of rows) collector.add(row);
  return collector.finish();
}

async function* rowsOf(file: string, delimiter: string): AsyncGenerator<Row, undefined> {
  const parser = parse({
    bom: true,
    delimiter,
    info: true,
    trim: true,
    max_record_size: MAX_ROW_CHARACTERS,
    skip_empty_lines: true,
  });
  const input = createReadStream(file);
  input.on('error', (error) => parser.destroy(error));
  input.pipe(parser);
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      yield { cells: record, line: info.lines };
    }
  } catch (cause) {
    throw cause instanceof CsvError ? malformed(file, cause) : cause;
  } finally {
    input.destroy();
  }
}

function malformed(file: string, cause: CsvError) {
  const line = typeof cause.lines === 'number' ? cause.lines : undefined;
  return invalidData({ file, line }, `not well-formed CSV: ${cause.message}`, {
    hint: 'Every row needs as many cells as the header; check quotes and data.delimiter.',
    cause,
  });
}

function chooseColumns(file: string, header: readonly string[], options: CsvOptions): Columns {
  const twice = header.find((name, index) => header.indexOf(name) !== index);
  if (twice !== undefined) throw invalidData({ file, line: 1, column: twice }, 'two columns have this name');
  const targets = targetsOf(options);
  const crowded = targets.find(({ task, names }) => task === 'classification' && names.length > 1);
  if (crowded) {
    throw invalidData({ file, line: 1 }, `a classification has one target column, not ${crowded.names.length}`);
  }
  const { weight } = options;
  const taken = [...targets.flatMap(({ names }) => names), weight];
  const inputNames = options.columns ?? header.filter((name) => !taken.includes(name));
  if (inputNames.length === 0) throw invalidData({ file, line: 1 }, 'expected at least one column beside the target');
  const find = (name: string) => findColumn(file, header, name);
  return {
    inputs: inputNames.map(find),
    targets: targets.map(({ task, names }) => ({ task, columns: names.map(find) })),
    weight: weight === undefined ? undefined : find(weight),
  };
}

function targetsOf({ target, task, furtherTargets }: CsvOptions): TargetOptions[] {
  const further = furtherTargets.map((one) => ({ names: [one.columns].flat(), task: one.task }));
  return [{ names: [target].flat(), task }, ...further];
}

function findColumn(file: string, header: readonly string[], name: string): Column {
  const index = header.indexOf(name);
  if (index >= 0) return { name, index };
  throw invalidData({ file, line: 1, column: name }, 'the header has no such column', {
    hint: `The columns are ${header.map((column) => JSON.stringify(column)).join(', ')}.`,
  });
}

class RowCollector {
  readonly #inputs = new GrowingFloat32();
  readonly #targets: readonly TargetCollector[];
  readonly #weights = new GrowingFloat32();
  #samples = 0;

  constructor(
    readonly file: string,
    readonly columns: Columns,
  ) {
    this.#targets = columns.targets.map((target) => new TargetCollector(file, target));
  }

  add(row: Row): void {
    for (const column of this.columns.inputs) this.#inputs.push(numberIn(this.file, row, column));
    for (const target of this.#targets) target.add(row);
    if (this.columns.weight) this.#weights.push(weightIn(this.file, row, this.columns.weight));
    this.#samples++;
  }

  finish(): CsvTable {
    const { file, columns } = this;
    if (this.#samples === 0) throw invalidData({ file, line: 2 }, 'expected rows after the header, found none');
    return {
      file,
      samples: this.#samples,
      inputColumns: columns.inputs.map(({ name }) => name),
      inputs: this.#inputs.values(),
      targets: this.#targets.map((target) => target.finish()),
      weights: this.#weights.values(),
    };
  }
}

class TargetCollector {
  readonly #values = new GrowingFloat32();
  readonly #codes = new GrowingInt32();
  readonly #codeOf = new Map<string, number>();
  readonly #firstLines: number[] = [];

  constructor(
    readonly file: string,
    readonly target: TargetColumns,
  ) {}

  add(row: Row): void {
    for (const column of this.target.columns) {
      if (this.target.task === 'classification') this.#codes.push(this.#code(row, column));
      else this.#values.push(numberIn(this.file, row, column));
    }
  }

  finish(): CsvTarget {
    return {
      columns: this.target.columns.map(({ name }) => name),
      values: this.#values.values(),
      labels: { names: [...this.#codeOf.keys()], firstLines: this.#firstLines, codes: this.#codes.values() },
    };
  }

  #code(row: Row, { name, index }: Column): number {
    const label = row.cells[index];
    if (label === '')
      throw invalidData({ file: this.file, line: row.line, column: name }, 'expected a label, found an empty cell');
    const known = this.#codeOf.get(label);
    if (known !== undefined) return known;
    this.#firstLines.push(row.line);
    this.#codeOf.set(label, this.#codeOf.size);
    return this.#codeOf.size - 1;
  }
}

function numberIn(file: string, { cells, line }: Row, { name, index }: Column): number {
  const cell = cells[index];
  const value = DECIMAL.test(cell) ? Math.fround(Number(cell)) : Number.NaN;
  if (Number.isFinite(value)) return value;
  const found = cell === '' ? 'an empty cell' : JSON.stringify(cell.slice(0, 80));
  throw invalidData({ file, line, column: name }, `expected a number, found ${found}`);
}

function weightIn(file: string, row: Row, column: Column): number {
  const weight = numberIn(file, row, column);
  if (weight >= 0) return weight;
  throw invalidData({ file, line: row.line, column: column.name }, `expected a weight of at least 0, found ${weight}`);
}
