/** What shows a run while it goes on: a bar on a terminal, lines elsewhere, objects for scripts. */
import type { CoordinatorEvent } from '@coord/coordinator';
import type { Colors } from '../colors.js';
import { type TextOutput, writeJson, writeLine } from '../io.js';
import { advance, barLine, eventLine, initialProgress, type Plan, progressLine } from './progress.js';

export interface View {
  event(event: CoordinatorEvent): void;
  /** Something to say that is no event of the coordinator. */
  say(text: string): void;
  /** Leaves the output on a fresh line. */
  close(): void;
}

const REDRAW_MS = 100;
const LINE_EVERY_MS = 5000;

/** A bar at the bottom, events scrolling above it. */
export function createBarView(output: TextOutput, plan: Plan, colors: Colors, nowMs: () => number): View {
  let progress = initialProgress(plan);
  let drawnMs = Number.NEGATIVE_INFINITY;
  const clear = '\r\x1b[2K';
  const draw = () => {
    drawnMs = nowMs();
    output.write(clear + barLine(progress, output.columns ?? 80));
  };
  const above = (text: string) => {
    output.write(`${clear}${text}\n`);
    draw();
  };
  return {
    event(event) {
      progress = advance(progress, event);
      const line = eventLine(plan, event);
      if (line !== undefined) above(event.event === 'evaluation' ? colors.green(line) : colors.dim(line));
      else if (nowMs() - drawnMs >= REDRAW_MS) draw();
    },
    say: above,
    close: () => output.write(clear),
  };
}

/** A line every few seconds and at every event that matters. */
export function createLineView(output: TextOutput, plan: Plan, nowMs: () => number): View {
  let progress = initialProgress(plan);
  let writtenMs = nowMs();
  const write = (text: string) => {
    writtenMs = nowMs();
    writeLine(output, text);
  };
  return {
    event(event) {
      progress = advance(progress, event);
      const line = eventLine(plan, event);
      if (event.event === 'evaluation') writeLine(output, progressLine(progress));
      if (line !== undefined) writeLine(output, line);
      else if (event.event === 'step' && nowMs() - writtenMs >= LINE_EVERY_MS) write(progressLine(progress));
    },
    say: write,
    close: () => {},
  };
}

/** One JSON object a line, nothing else. What is said to people goes to `notes`. */
export function createJsonView(output: TextOutput, notes: TextOutput): View {
  return {
    // The last line of the output is the command's own summary, which says more than the coordinator's.
    event: (event) => event.event !== 'finished' && writeJson(output, event),
    say: (text) => writeLine(notes, text),
    close: () => {},
  };
}
