/** What the benchmark tells: medians over the repeats, the bars, and whether the money adds up. */
import Table from "cli-table3";
import type { Sums } from "./accounts.ts";
import { cpuIsMeasured } from "./cpu.ts";
import { median } from "./load.ts";
import { SYSTEMS, type Plan, type Run, type System } from "./measure.ts";

export interface Row {
  readonly system: System;
  readonly clients: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly aborted: number;
  /** Microseconds of CPU per committed transaction, by process. */
  readonly cpuMicros: Readonly<Record<string, number>>;
}

export interface Bar {
  readonly bar: string;
  readonly value: number;
  readonly met: boolean;
}

export interface Report {
  readonly plan: Plan;
  readonly node: string;
  readonly cores: number;
  readonly cpuIsMeasured: boolean;
  readonly rows: readonly Row[];
  readonly bars: readonly Bar[];
  readonly sums: Sums;
  readonly sumsAreRight: boolean;
}

const MIN_SHARE_OF_BARE = 0.5;
const MAX_LATENCY_OF_BARE = 3;

export function makeReport(plan: Plan, runs: readonly Run[], sums: Sums, cores: number): Report {
  const rows = (Object.keys(SYSTEMS) as System[]).flatMap((system) =>
    plan.clients.map((clients) =>
      makeRow(runs.filter((run) => run.system === system && run.clients === clients)),
    ),
  );
  return {
    ...{ plan, node: process.version, cores, cpuIsMeasured, rows, bars: judge(rows), sums },
    sumsAreRight: sums.found === sums.expected && sums.preparedLeft === 0,
  };
}

function makeRow(repeats: readonly Run[]): Row {
  const [first] = repeats;
  if (first === undefined) throw new Error("every system is measured at every number of clients");
  const of = (value: (run: Run) => number): number => median(repeats.map(value));
  const cpuMicros = [...first.cpu.keys()].map((name) => {
    return [name, of(({ cpu, committed }) => ((cpu.get(name) ?? NaN) * 1e6) / committed)] as const;
  });
  return {
    ...{ system: first.system, clients: first.clients },
    perSecond: of((run) => run.perSecond),
    p50Ms: of((run) => run.p50Ms),
    p99Ms: of((run) => run.p99Ms),
    aborted: repeats.reduce((sum, { aborted }) => sum + aborted, 0),
    cpuMicros: Object.fromEntries(cpuMicros),
  };
}

function judge(rows: readonly Row[]): readonly Bar[] {
  const best = (system: System): number =>
    Math.max(...rows.filter((row) => row.system === system).map(({ perSecond }) => perSecond));
  const alone = (system: System): number =>
    rows.find((row) => row.system === system && row.clients === 1)?.p50Ms ?? NaN;
  const shareOf = (system: System): number => best(system) / best("bareTransfer");
  const [share, shareAlone] = [shareOf("synodTransfer"), shareOf("synodTransferAlone")];
  const latency = alone("synodTransfer") / alone("bareTransfer");
  const bars = [
    {
      bar: `transfers per second at its best, of the bare client's (at least ${MIN_SHARE_OF_BARE})`,
      ...{ value: share, met: share >= MIN_SHARE_OF_BARE },
    },
    {
      bar: `the same without the lane (at least ${MIN_SHARE_OF_BARE})`,
      ...{ value: shareAlone, met: shareAlone >= MIN_SHARE_OF_BARE },
    },
  ];
  if (Number.isNaN(latency)) return bars;
  return [
    ...bars,
    {
      bar: `p50 at one client, of the bare client's (at most ${MAX_LATENCY_OF_BARE})`,
      ...{ value: latency, met: latency <= MAX_LATENCY_OF_BARE },
    },
  ];
}

const CPU_GROUPS = ["client", "leader", "follower", "participant", "postgres"];

export function describeReport(report: Report): string {
  const head = ["", "clients", "per second", "p50 ms", "p99 ms", "aborted"];
  const cpuHead = ["CPU µs each", ...CPU_GROUPS];
  const table = new Table({
    head: report.cpuIsMeasured ? [...head, ...cpuHead] : head,
    colAligns: ["left", ...Array.from({ length: 11 }, () => "right" as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const row of report.rows) table.push(describeRow(row, report.cpuIsMeasured));
  const { sums } = report;
  return [
    table.toString(),
    `${report.cores} cores, Node ${report.node}, ${report.plan.repeats} repeats of ${report.plan.seconds} s, medians`,
    report.cpuIsMeasured
      ? "CPU per committed transaction, over all processes and by kind; a Postgres server counts with all its processes"
      : "CPU is not measured: there is no /proc here",
    ...report.bars.map(
      ({ bar, value, met }) => `${met ? "met" : "MISSED"}: ${value.toFixed(2)} ${bar}`,
    ),
    `sum of all balances: ${sums.found}, expected ${sums.expected}; prepared branches left: ${sums.preparedLeft}`,
    `sums are right: ${report.sumsAreRight ? "yes" : "no"}`,
  ].join("\n");
}

function describeRow(row: Row, withCpu: boolean): string[] {
  const { system, clients, perSecond, p50Ms, p99Ms, aborted, cpuMicros } = row;
  const cells = [SYSTEMS[system], String(clients), perSecond.toFixed(0)];
  cells.push(p50Ms.toFixed(2), p99Ms.toFixed(2), String(aborted));
  if (!withCpu) return cells;
  const groups = CPU_GROUPS.map((group) =>
    Object.entries(cpuMicros)
      .filter(([name]) => name.split(" ")[0] === group)
      .reduce((sum, [, micros]) => sum + micros, 0),
  );
  const total = groups.reduce((sum, micros) => sum + micros, 0);
  return [...cells, ...[total, ...groups].map((micros) => micros.toFixed(0))];
}
