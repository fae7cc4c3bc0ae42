/** A run as one page that needs nothing else: what was found first, then charts over one time, then the figures behind them. */
import { summarizeInDoubt } from "../audit/in-doubt.ts";
import { percentile } from "../history/percentile.ts";
import { charts } from "./charts.ts";
import { figuresOf, leaderChangesMs, type Figures } from "./figures.ts";
import type { CheckerVerdict, ReportInput } from "./input.ts";
import { element, styleSheet, text, type Markup } from "./markup.ts";
import { longestPause, nemesesOf, type NemesisFigures } from "./nemeses.ts";
import { STYLE } from "./style.ts";
import { amount, clock, duration } from "./words.ts";

/** Of each checker. */
const MAX_FINDINGS = 50;
/** Nothing is loaded from anywhere, and nothing runs. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

export function renderReport(input: ReportInput): string {
  const figures = figuresOf(input);
  const head = element(
    "head",
    {},
    element("meta", { charset: "utf-8" }),
    element("meta", { "http-equiv": "Content-Security-Policy", content: POLICY }),
    element("meta", { name: "viewport", content: "width=device-width" }),
    element("title", {}, text(input.title)),
    styleSheet(STYLE),
  );
  const body = element(
    "body",
    {},
    element("h1", {}, text(input.title)),
    terms("facts", input.facts),
    section("What the checkers found", input.verdicts.map(verdictOf)),
    section("In short", [terms("summary", summary(input, figures))]),
    section("Over time", [
      note("Grey bands are faults, dashed vertical lines changes of leader."),
      ...charts(input, figures),
    ]),
    section("By nemesis", [nemesisTable(nemesesOf(input.faults, figures))]),
    section("Figures", [bucketTable(figures)]),
  );
  return `<!DOCTYPE html>\n${element("html", { lang: "en" }, head, body)}\n`;
}

function section(title: string, content: readonly Markup[]): Markup {
  return element("section", {}, element("h2", {}, text(title)), content);
}

function note(sentence: string): Markup {
  return element("p", { class: "note" }, text(sentence));
}

function terms(id: string, pairs: readonly (readonly [string, string])[]): Markup {
  const items = pairs.map(([name, value]) =>
    element("div", {}, element("dt", {}, text(name)), element("dd", {}, text(value))),
  );
  return element("dl", { id }, items);
}

function verdictOf({ checker, holds, findings }: CheckerVerdict): Markup {
  const shown = findings.slice(0, MAX_FINDINGS).map((it) => element("pre", {}, text(it)));
  const more = findings.length - shown.length;
  const word = holds ? "✓ holds" : "✗ VIOLATED";
  const mark = element("span", { class: holds ? "holds" : "violated" }, text(word));
  return element(
    "div",
    { class: "verdict" },
    element("p", {}, text(`${checker}: `), mark),
    shown,
    more > 0 ? [note(`and ${more} more`)] : [],
  );
}

function summary(input: ReportInput, figures: Figures): readonly (readonly [string, string])[] {
  const { committed, aborted, unclear, latenciesMs, endMs, pauses, spans, reigns } = figures;
  const pause = longestPause(pauses, 0, endMs);
  const inDoubt = summarizeInDoubt(spans);
  const latencies = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)];
  const slashed = (values: readonly (number | null)[]): string => values.map(duration).join(" / ");
  return [
    ["committed", String(committed)],
    ["aborted", String(aborted)],
    ["unclear", String(unclear)],
    ["commits per second", amount((committed * 1_000) / endMs)],
    ["latency p50 / p99 / max", slashed([...latencies, latenciesMs.at(-1) ?? null])],
    ["longest pause", `${duration(pause.ms)} at ${clock(pause.fromMs)}`],
    ["branches seen in doubt", `${inDoubt.branches}, ${inDoubt.open} to the end`],
    ["in doubt p50 / p99 / max", slashed([inDoubt.p50Ms, inDoubt.p99Ms, inDoubt.maxMs])],
    ["faults", String(input.faults.length)],
    ["changes of leader", String(leaderChangesMs(reigns).length)],
  ];
}

function nemesisTable(nemeses: readonly NemesisFigures[]): Markup {
  const heads = ["nemesis", "times", "longest pause", "in doubt p50", "p99", "max", "to the end"];
  const rows = nemeses.map(({ kind, count, longestPauseMs, inDoubt }) => [
    ...[kind, String(count), duration(longestPauseMs)],
    ...[inDoubt.p50Ms, inDoubt.p99Ms, inDoubt.maxMs].map(duration),
    String(inDoubt.open),
  ]);
  return table("nemeses", heads, rows);
}

function bucketTable({ buckets, bucketMs }: Figures): Markup {
  const heads = ["from", "committed/s", "aborted/s", "unclear/s", "p50 ms", "p99 ms", "in doubt"];
  const rows = buckets.map((it) => [
    clock(it.fromMs),
    ...[it.committedPerSecond, it.abortedPerSecond, it.unclearPerSecond].map(amount),
    ...[it.p50Ms, it.p99Ms, it.inDoubt].map(amount),
  ]);
  const title = text(`In steps of ${duration(bucketMs)}`);
  return element("details", {}, element("summary", {}, title), table("buckets", heads, rows));
}

function table(id: string, heads: readonly string[], rows: readonly (readonly string[])[]): Markup {
  const cells = (name: string, values: readonly string[]): Markup =>
    element(
      "tr",
      {},
      values.map((value) => element(name, {}, text(value))),
    );
  const head = element("thead", {}, cells("th", heads));
  const body = element(
    "tbody",
    {},
    rows.map((row) => cells("td", row)),
  );
  return element("div", { class: "wide" }, element("table", { id }, head, body));
}
