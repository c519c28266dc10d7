/** Tries an engine in a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EngineSpeed } from '@coord/engine';
import type { EngineName, ErrorRecord, NumericIdentity } from '@coord/protocol';

export interface ProbeQuestion {
  readonly engine: EngineName;
  /** How long to measure speed; 0 not at all. */
  readonly benchMs: number;
}

export type ProbeAnswer =
  | {
      readonly works: true;
      readonly identity: NumericIdentity;
      readonly gradientError: number;
      readonly speed?: EngineSpeed;
    }
  | { readonly works: false; readonly error: ErrorRecord };

export type ProbeOutcome = ProbeAnswer | { readonly works: false; readonly crash: string };

export interface ProbeOptions extends ProbeQuestion {
  readonly timeoutMs: number;
  /** The program to start; told the question, it sends the answer. */
  readonly program?: string;
}

const PROGRAM = fileURLToPath(new URL('./probe-child.js', import.meta.url));
const STDERR_LIMIT = 16 * 1024;

/** Never rejects: whatever happens to the process is the outcome. */
export async function probe({ program = PROGRAM, timeoutMs, ...question }: ProbeOptions): Promise<ProbeOutcome> {
  const child = fork(program, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
  const lastWords = collectStderr(child);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  let answer: ProbeAnswer | undefined;
  child.once('message', (message: ProbeAnswer) => {
    answer = message;
  });
  child.send(question, () => {});
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  if (answer) return answer;
  const how = isLate ? `it gave no answer within ${timeoutMs / 1000} s` : crashText(code, signal);
  return { works: false, crash: [how, lastWords()].filter((text) => text !== '').join(': ') };
}

const crashText = (code: number | null, signal: NodeJS.Signals | null): string =>
  signal === null ? `its process ended with status ${code}` : `its process crashed with ${signal}`;

/** The last line that is more than a stack frame. */
function collectStderr(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-STDERR_LIMIT);
  });
  return () => {
    const lines = text.split('\n').map((line) => line.trim());
    return lines.filter((line) => line !== '' && !line.startsWith('at ')).at(-1) ?? '';
  };
}
