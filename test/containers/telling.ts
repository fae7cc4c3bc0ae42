/** What a run says while it goes, past Jest's console, which adds a stack to each line. */
import { summarizeInDoubt, type InDoubtSummary } from "../histories/audit/in-doubt.ts";
import { percentile } from "../histories/history/percentile.ts";
import { figuresOf, leaderChangesMs } from "../histories/report/figures.ts";
import type { CheckerVerdict } from "../histories/report/input.ts";
import { nemesesOf } from "../histories/report/nemeses.ts";
import type { Backend } from "./cluster.ts";
import type { Recording } from "./recording.ts";
import type { Evidence } from "./run.ts";

const MAX_EXAMPLES = 5;

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
    `${unclear.length} unclear for ever`,
    `longest pause ${ms(longestPauseMs)}, longest wait of one client ${ms(longestWaitMs)}`,
    `in doubt ${describeInDoubt(inDoubt)}`,
    `in doubt after the heal ${ms(inDoubtAfterHealMs)}`,
    `judged with ${judged.decisions} decisions`,
  ].join(", ");
}

/** The figures of a whole run, a nemesis a line. */
export function describeRun(
  { events, faults, leaders, samples }: Recording,
  verdicts: readonly CheckerVerdict[],
): readonly string[] {
  const input = { title: "", facts: [], events, faults, leaders, samples, verdicts };
  const figures = figuresOf(input);
  const { committed, aborted, unclear, latenciesMs, spans, reigns } = figures;
  const [p50, p99] = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)];
  return [
    `${committed} committed, ${aborted} aborted, ${unclear} unclear for ever`,
    `latency p50 ${ms(p50)} p99 ${ms(p99)} max ${ms(latenciesMs.at(-1) ?? null)}`,
    `in doubt ${describeInDoubt(summarizeInDoubt(spans))}, ${leaderChangesMs(reigns).length} changes of leader`,
    ...nemesesOf(faults, figures).map(
      ({ kind, count, longestPauseMs, inDoubt }) =>
        `${kind}: ${count} times, longest pause ${ms(longestPauseMs)}, in doubt ${describeInDoubt(inDoubt)}`,
    ),
    ...verdicts.map(({ checker, holds, findings }) => {
      const examples = findings.slice(0, MAX_EXAMPLES).map((it) => `\n  ${it}`);
      return `${checker}: ${holds ? "holds" : "VIOLATED"}${examples.join("")}`;
    }),
  ];
}

function describeInDoubt({ p50Ms, p99Ms, maxMs }: InDoubtSummary): string {
  return `p50 ${ms(p50Ms)} p99 ${ms(p99Ms)} max ${ms(maxMs)}`;
}

export function ms(value: number | null): string {
  return value === null ? "-" : `${Math.round(value)} ms`;
}
