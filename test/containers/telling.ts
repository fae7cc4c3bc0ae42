/** What a run says while it goes, past Jest's console, which adds a stack to each line. */
import type { Evidence } from "./run.ts";
import type { Backend } from "./cluster.ts";

export function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function describeEvidence(backend: Backend, evidence: Evidence): string {
  const { nemesis, fault, inDoubt, inDoubtAfterHealMs, judged } = evidence;
  const { committed, aborted, unclear, longestPauseMs, longestWaitMs } = evidence;
  return [
    `${backend}: ${nemesis} (${fault.victim})`,
    `${fault.kills.length} kills`,
    `${committed} committed`,
    `${aborted} aborted`,
    `${unclear} unclear for ever`,
    `longest pause ${ms(longestPauseMs)}, longest wait of one client ${ms(longestWaitMs)}`,
    `in doubt p50 ${ms(inDoubt.p50Ms)} p99 ${ms(inDoubt.p99Ms)} max ${ms(inDoubt.maxMs)}`,
    `in doubt after the heal ${ms(inDoubtAfterHealMs)}`,
    `${judged.decisions} decisions joined`,
  ].join(", ");
}

export function ms(value: number | null): string {
  return value === null ? "-" : `${Math.round(value)} ms`;
}
