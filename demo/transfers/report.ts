/** What the demo tells at its end: one document, and the table that shows it to people. */
import Table from "cli-table3";
import { type Books, type Finding, FINDINGS } from "./books.ts";
import type { RunEvent } from "./leader-kill.ts";
import type { Latency, Pause, Tally } from "./tally.ts";

export interface Report {
  readonly coordinators: number;
  readonly shards: number;
  readonly clients: number;
  readonly seconds: number;
  readonly committed: number;
  readonly committedPerSecond: number;
  readonly aborted: number;
  readonly abortedByCode: Readonly<Record<string, number>>;
  readonly unknownRetried: number;
  readonly latency: Latency | null;
  readonly longestPause: Pause;
  readonly events: readonly RunEvent[];
  readonly books: Books;
}

export interface RunShape {
  readonly coordinators: number;
  readonly shards: number;
  readonly clients: number;
  readonly seconds: number;
}

export function makeReport(
  shape: RunShape,
  tally: Tally,
  events: readonly RunEvent[],
  books: Books,
): Report {
  const { coordinators, shards, clients, seconds } = shape;
  return {
    coordinators,
    shards,
    clients,
    seconds,
    committed: tally.committed,
    committedPerSecond: Math.round(tally.committed / seconds),
    aborted: tally.aborted,
    abortedByCode: tally.abortedByCode(),
    unknownRetried: tally.unknown,
    latency: tally.latency() ?? null,
    longestPause: tally.longestPause,
    events,
    books,
  };
}

const MAX_EXAMPLES = 5;
const NO_RULES = { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" };

/** A table, the examples of what is wrong, and last the verdict. */
export function describeReport(report: Report): string {
  const { books } = report;
  const table = new Table({ colAligns: ["left", "right"], chars: NO_RULES, style: { border: [] } });
  for (const [name, value] of rows(report)) table.push([name, value]);
  const examples = findingKinds()
    .filter((kind) => books.findings[kind].length > 0)
    .map((kind) => `${FINDINGS[kind]}: ${books.findings[kind].slice(0, MAX_EXAMPLES).join(", ")}`);
  const verdict = `books balance: ${books.balance ? "yes" : "no"}`;
  return [table.toString(), ...examples, verdict].join("\n");
}

function rows(report: Report): readonly (readonly [string, string])[] {
  const { books, latency, longestPause } = report;
  const codes = Object.entries(report.abortedByCode).map(([code, count]) => `${code} ${count}`);
  const pauseAt = longestPause.atSeconds.toFixed(1);
  return [
    ["committed transfers", String(report.committed)],
    ["transfers per second", String(report.committedPerSecond)],
    ["latency p50 / p99", latency === null ? "-" : `${ms(latency.p50Ms)} / ${ms(latency.p99Ms)}`],
    ["longest pause without a commit", `${ms(longestPause.ms)}, from ${pauseAt} s on`],
    ["aborted", codes.length === 0 ? "0" : `${report.aborted} (${codes.join(", ")})`],
    ["outcome unknown, asked again", String(report.unknownRetried)],
    ["sum of all accounts before", String(books.sumBefore)],
    ["sum of all accounts after", String(books.sumAfter)],
    ["transfers in the databases", String(books.transfers)],
    ...findingKinds().map((kind) => [FINDINGS[kind], String(books.findings[kind].length)] as const),
  ];
}

function findingKinds(): readonly Finding[] {
  return Object.keys(FINDINGS) as Finding[];
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
