/** Metrics as people read them. Pure. */
import { isMatrix, type MetricValues } from '@coord/protocol';
import { formatCount, formatLoss, formatPercent, formatTable } from './format.js';

/** Shares of samples; the rest are numbers. The key may begin with the name of an output. */
const SHARES = /(^|\.)(accuracy|top\d+|precision|recall|f1)(Micro)?$/;

type Shown = Pick<MetricValues, 'loss' | 'accuracy' | 'metrics'>;

const text = (key: string, value: number | null): string =>
  `${key} ${SHARES.test(key) ? formatPercent(value ?? undefined) : formatLoss(value ?? undefined)}`;

const accuracyTexts = ({ accuracy }: Shown): string[] => (accuracy === null ? [] : [text('accuracy', accuracy)]);

/** `top5 99.10 %`, `auc 0.9871` …; matrices are left out. */
const furtherTexts = ({ metrics }: Shown): string[] =>
  Object.entries(metrics).flatMap(([key, value]) => (isMatrix(value) ? [] : [text(key, value)]));

/** Loss, accuracy where there is one, then the further metrics. */
export const metricTexts = (values: Shown): string[] => [
  `loss ${formatLoss(values.loss)}`,
  ...accuracyTexts(values),
  ...furtherTexts(values),
];

/** The same in the order of an evaluation's line: accuracy first. @param split stands before accuracy and loss. */
export const evaluationTexts = (values: Shown, split = ''): string[] => [
  ...[...accuracyTexts(values), `loss ${formatLoss(values.loss)}`].map((each) => split + each),
  ...furtherTexts(values),
];

/** Label and value of each further metric, for a list. */
export const metricRows = ({ metrics }: Pick<Shown, 'metrics'>): [string, string][] =>
  Object.entries(metrics).flatMap(([key, value]) =>
    isMatrix(value) ? [] : [[key, text(key, value).slice(key.length + 1)] as [string, string]],
  );

/** Wider tables help nobody; `--json` has every number. */
const MAX_COLUMNS = 26;

/** One table a confusion matrix: rows are targets, columns what the model said. */
export function matrixTables({ metrics }: Pick<Shown, 'metrics'>, classNames: readonly string[] = []): string[] {
  return Object.entries(metrics).flatMap(([key, value]) =>
    isMatrix(value) ? [matrixTable(key, value, classNames)] : [],
  );
}

function matrixTable(key: string, rows: readonly (readonly number[])[], classNames: readonly string[]): string {
  const title = `${key} (rows: the target, columns: what the model said)`;
  if (rows.length > MAX_COLUMNS) return `${title}: ${rows.length} classes are too many for a table; --json has them`;
  const names = rows.map((_, label) => (classNames.length === rows.length ? classNames[label] : String(label)));
  const table = formatTable(
    ['', ...names],
    rows.map((row, label) => [names[label], ...row.map(formatCount)]),
  );
  return `${title}\n${table}`;
}
