/** The page of a run is well-formed, needs no other host, and its numbers are those of the history. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allIn, readPage, textIn, type PageElement } from "../support/well-formed.ts";
import { KILL, makeOutage } from "./generator/outage.ts";
import { runStore } from "./generator/store.ts";
import type { HistoryEvent } from "./history/event.ts";
import { decodeEvents } from "./history/ndjson.ts";
import type { ReportInput } from "./report/input.ts";
import { renderReport } from "./report/render-report.ts";
import { linearScale, logarithmicScale, timeScale } from "./report/scale.ts";
import { writeReport } from "./write-report.ts";

const EMPTY: ReportInput = {
  ...{ title: "t", facts: [], events: [], faults: [], leaders: [], samples: [], verdicts: [] },
};
const operations = [{ kind: "append" as const, shard: "s1", key: "x", value: 1 }];

/** One after the other, each of one process. */
function calls(
  ...ends: readonly (readonly [fromMs: number, atMs: number, end: "ok" | "fail" | "info"])[]
): HistoryEvent[] {
  const events = ends.flatMap(([fromMs, atMs, end], process): HistoryEvent[] => {
    const common = { process, transaction: `t${process}` };
    const invoke: HistoryEvent = { event: "invoke", ...common, atMs: fromMs, operations };
    if (end === "ok") {
      return [invoke, { event: end, ...common, atMs, acknowledged: "applied", operations }];
    }
    return [invoke, { event: end, ...common, atMs, reason: "r" }];
  });
  return events.sort((one, other) => one.atMs - other.atMs);
}

function byId(page: PageElement, name: string, id: string): PageElement {
  return allIn(page, name).find((it) => it.attributes.get("id") === id)!;
}

function rowsOf(page: PageElement, id: string): readonly (readonly string[])[] {
  const [body] = allIn(byId(page, "table", id), "tbody");
  return allIn(body!, "tr").map((row) => allIn(row, "td").map(textIn));
}

function summaryOf(page: PageElement): ReadonlyMap<string, string> {
  const list = byId(page, "dl", "summary");
  const names = allIn(list, "dt").map(textIn);
  return new Map(allIn(list, "dd").map((value, at) => [names[at]!, textIn(value)]));
}

/** What a series is drawn through. */
function cornersOf(page: PageElement, chart: string, series: string): readonly number[][] {
  const path = allIn(byId(page, "svg", chart), "path").find(
    (it) => it.attributes.get("data-series") === series,
  )!;
  const corners = path.attributes.get("d")!.matchAll(/[ML]([\d.]+) ([\d.]+)/g);
  return [...corners].map(([, x, y]) => [Number(x), Number(y)]);
}

test("a whole run is well-formed, and has every chart with a title and axes", () => {
  const page = readPage(renderReport(makeOutage(1)));
  const charts = allIn(page, "svg");
  expect(charts.map((it) => it.attributes.get("id"))).toEqual([
    ...["faults", "leaders", "throughput", "latency", "in-doubt"],
  ]);
  for (const chart of charts) {
    expect(chart.attributes.get("aria-labelledby")).toBe(
      allIn(chart, "title")[0]!.attributes.get("id"),
    );
    const words = allIn(chart, "text").map(textIn);
    expect(words).toEqual(expect.arrayContaining(["0:00", "0:50"]));
    expect(words.some((it) => it.startsWith("time since"))).toBe(true);
    const bands = allIn(chart, "rect").filter((it) => it.attributes.get("class") === "band");
    expect(bands.map((it) => textIn(it))).toEqual([
      ...["kill leader: node 1", "cut off a shard: s2"],
    ]);
    const changes = allIn(chart, "line").filter((it) => it.attributes.get("class") === "change");
    expect(changes).toHaveLength(1);
  }
  const legend = allIn(byId(page, "svg", "latency"), "text").map(textIn);
  expect(legend).toEqual(expect.arrayContaining(["p50", "p99", "10 ms", "1 s", "logarithmic"]));
});

test("nothing on the page is loaded from anywhere, and nothing runs", () => {
  const page = renderReport(makeOutage(1));
  const root = readPage(page);
  expect(page.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|url\(|@import/);
  for (const name of ["script", "link", "img", "iframe", "image", "use"]) {
    expect(allIn(root, name)).toEqual([]);
  }
  expect(page).toContain("default-src 'none'".replaceAll("'", "&#39;"));
  expect(page).toContain("prefers-color-scheme: dark");
});

test("names are shown as they are, whatever signs they hold", () => {
  const name = `<script>alert("1")</script> & 'x' \u0000`;
  const page = renderReport({
    ...EMPTY,
    title: name,
    facts: [[name, name]],
    faults: [{ kind: name, target: name, fromMs: 0, untilMs: null }],
    leaders: [{ atMs: 0, leader: name }],
    verdicts: [{ checker: name, holds: false, findings: [name] }],
  });
  const root = readPage(page);
  expect(allIn(root, "script")).toEqual([]);
  const shown = name.replace("\u0000", "\ufffd");
  expect(textIn(allIn(root, "h1")[0]!)).toBe(shown);
  expect(textIn(allIn(root, "pre")[0]!)).toBe(shown);
  expect(allIn(root, "title").map(textIn)).toContain(`${shown}: ${shown}`);
  expect(rowsOf(root, "nemeses")[0]![0]).toBe(shown);
});

test("seconds count what ended in them, and percentiles are of their commits", () => {
  const events = calls(
    ...([
      [0, 10, "ok"],
      [0, 20, "ok"],
      [100, 400, "ok"],
      [0, 900, "fail"],
    ] as const),
    ...([
      [1_500, 2_500, "info"],
      [2_100, 2_200, "ok"],
    ] as const),
  );
  const page = readPage(renderReport({ ...EMPTY, events }));
  expect(rowsOf(page, "buckets")).toEqual([
    ["0:00", "3", "1", "0", "20", "300", "–"],
    ["0:01", "0", "0", "0", "–", "–", "–"],
    ["0:02", "1", "0", "1", "100", "100", "–"],
  ]);
  expect(Object.fromEntries(summaryOf(page))).toMatchObject({
    ...{ committed: "4", aborted: "1", unclear: "1", "commits per second": "1.6" },
    "latency p50 / p99 / max": "20 ms / 300 ms / 300 ms",
    "longest pause": "1.8 s at 0:00",
  });
});

test("lines are drawn where the numbers are, and broken where there are none", () => {
  const events = calls([0, 10, "ok"], [0, 20, "ok"], [2_000, 2_100, "ok"], [3_000, 4_000, "fail"]);
  const page = readPage(renderReport({ ...EMPTY, events }));
  const throughput = cornersOf(page, "throughput", "committed");
  expect(throughput.map(([, y]) => y)).toEqual([34, 204, 119, 204]);
  expect(throughput[0]![0]).toBeCloseTo(150 + (930 * 500) / 4_000, 0);
  const latency = cornersOf(page, "latency", "p50");
  expect(latency.map(([, y]) => y)).toEqual([204, 34]);
});

test("a nemesis is shown with the pause and the doubt that it made", () => {
  const page = readPage(renderReport(makeOutage(1)));
  const rows = rowsOf(page, "nemeses");
  expect(rows.map((row) => row.slice(0, 2))).toEqual([
    ["kill leader", "1"],
    ["cut off a shard", "1"],
  ]);
  expect(rows[0]![2]).toMatch(/^9\d\d(\.\d)? ms$/);
  expect(rows[0]!.slice(3)).toEqual(["1.01 s", "1.01 s", "1.01 s", "0"]);
  expect(rows[1]!.slice(3)).toEqual(["5.02 s", "5.02 s", "5.02 s", "0"]);
  expect(summaryOf(page).get("branches seen in doubt")).toBe("9, 0 to the end");
  expect(summaryOf(page).get("changes of leader")).toBe("1");
  const killed = rowsOf(page, "buckets")[KILL.fromMs / 1_000]!;
  expect(killed.at(-1)).toBe("8");
});

test("a run without anything in it has a page, too", () => {
  const page = readPage(renderReport(EMPTY));
  expect(rowsOf(page, "buckets")).toEqual([["0:00", "0", "0", "0", "–", "–", "–"]]);
});

test.each([
  [linearScale(7), [0, 2, 4, 6, 8]],
  [linearScale(0), [0, 0.5]],
  [linearScale(1_234), [0, 500, 1_000, 1_500]],
  [logarithmicScale(3, 420), [1, 10, 100, 1_000]],
  [
    timeScale(50_000),
    [0, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 45_000, 50_000],
  ],
])("scale %#: its ticks are round, and reach from one end to the other", (scale, ticks) => {
  expect(scale.ticks).toEqual(ticks);
  expect(scale.ticks.map((it) => scale.place(it))).toEqual(
    ticks.map((_, at): unknown => expect.closeTo(at / (ticks.length - 1), 9)),
  );
});

test("a run is written as its page and its history", async () => {
  const directory = await mkdtemp(join(tmpdir(), "report-"));
  try {
    const input = { ...EMPTY, events: runStore({ seed: 2, transactions: 520 }) };
    expect(input.events.length).toBeGreaterThan(1_000);
    await writeReport(join(directory, "run"), input);
    const page = await readFile(join(directory, "run", "report.html"), "utf8");
    expect(page).toBe(renderReport(input));
    const history = await readFile(join(directory, "run", "history.ndjson"), "utf8");
    expect(decodeEvents(history.split("\n"))).toEqual(input.events);
  } finally {
    await rm(directory, { recursive: true });
  }
});
