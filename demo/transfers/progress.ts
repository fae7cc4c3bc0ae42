/** The progress line: rewritten in place on a terminal, one line every two seconds elsewhere. */
import type { RunEvent } from "./leader-kill.ts";
import type { Tally } from "./tally.ts";

export interface Progress {
  event(event: RunEvent): void;
  stop(): void;
}

const TERMINAL_INTERVAL_MS = 500;
const OTHER_INTERVAL_MS = 2_000;
const CLEAR_LINE = "\r\u001b[2K";

export function showProgress(tally: Tally, output: NodeJS.WriteStream): Progress {
  const startedAtMs = performance.now();
  let lastAtMs = startedAtMs;
  const line = (): string => {
    const nowMs = performance.now();
    const { commits, latency } = tally.takeInterval();
    const rate = Math.round((commits * 1_000) / (nowMs - lastAtMs));
    lastAtMs = nowMs;
    return [
      `${seconds((nowMs - startedAtMs) / 1_000)} s`,
      `${String(rate).padStart(5)} transfers/s`,
      `p50 ${milliseconds(latency?.p50Ms)}`,
      `p99 ${milliseconds(latency?.p99Ms)}`,
      `committed ${tally.committed}`,
      `aborted ${tally.aborted}`,
      `unknown ${tally.unknown}`,
    ].join("   ");
  };
  const show = (): void => {
    output.write(output.isTTY ? `${CLEAR_LINE}${line()}` : `${line()}\n`);
  };
  const timer = setInterval(show, output.isTTY ? TERMINAL_INTERVAL_MS : OTHER_INTERVAL_MS);
  return {
    event: ({ atSeconds, what }) => {
      output.write(`${output.isTTY ? CLEAR_LINE : ""}${seconds(atSeconds)} s   ${what}\n`);
    },
    stop: () => {
      clearInterval(timer);
      if (output.isTTY) output.write(CLEAR_LINE);
    },
  };
}

function seconds(value: number): string {
  return value.toFixed(1).padStart(5);
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? "   -   " : `${value.toFixed(1).padStart(6)} ms`;
}
