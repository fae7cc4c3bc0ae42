/** What the benchmark of the log tells: medians over the repeats, the bars, and whether all processes hold the same. */
import Table from "cli-table3";
import { cpuIsMeasured, type CpuSample } from "../cpu.ts";
import { median } from "../load.ts";
import type { BareCosts, LogCosts } from "./protocol.ts";

export interface LogPlan {
  readonly proposers: readonly number[];
  readonly repeats: number;
  readonly seconds: number;
}

export interface LogRun extends LogCosts {
  readonly proposers: number;
  /** Measured right before and right after, in the process that led. */
  readonly bare: BareCosts;
  readonly cpu: CpuSample;
}

export interface LogRow {
  readonly proposers: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** p50 over the bare cost of one round trip and one sync, both measured beside it. */
  readonly ofBare: number;
  readonly decisionsPerSlot: number;
  /** Microseconds of CPU per decision, by process. */
  readonly cpuMicros: Readonly<Record<string, number>>;
}

export interface LogBar {
  readonly bar: string;
  readonly value: number;
  readonly met: boolean;
}

export interface LogReport {
  readonly plan: LogPlan;
  readonly node: string;
  readonly cores: number;
  readonly cpuIsMeasured: boolean;
  readonly bare: BareCosts;
  readonly rows: readonly LogRow[];
  readonly bars: readonly LogBar[];
  /** Commits in the ledger of each process at the end. */
  readonly committed: readonly number[];
  readonly ledgersAgree: boolean;
}

const MAX_LATENCY_OF_BARE = 2;
const MIN_PER_SECOND = 20_000;
const CROWD = 256;

const bareMs = ({ syncMs, roundTripMs }: BareCosts): number => syncMs + roundTripMs;

export function makeLogReport(
  plan: LogPlan,
  runs: readonly LogRun[],
  committed: readonly number[],
  cores: number,
): LogReport {
  const rows = plan.proposers.map((proposers) =>
    makeRow(
      proposers,
      runs.filter((run) => run.proposers === proposers),
    ),
  );
  return {
    ...{ plan, node: process.version, cores, cpuIsMeasured },
    bare: {
      syncMs: median(runs.map(({ bare }) => bare.syncMs)),
      roundTripMs: median(runs.map(({ bare }) => bare.roundTripMs)),
    },
    ...{ rows, bars: judge(rows), committed },
    ledgersAgree: committed.length > 0 && committed.every((count) => count === committed[0]),
  };
}

function makeRow(proposers: number, repeats: readonly LogRun[]): LogRow {
  const of = (value: (run: LogRun) => number): number => median(repeats.map(value));
  const names = [...(repeats[0]?.cpu.keys() ?? [])];
  return {
    proposers,
    perSecond: of((run) => run.perSecond),
    p50Ms: of((run) => run.p50Ms),
    p99Ms: of((run) => run.p99Ms),
    ofBare: of((run) => run.p50Ms / bareMs(run.bare)),
    decisionsPerSlot: of((run) => run.decisions / run.slots),
    cpuMicros: Object.fromEntries(
      names.map((name) => [
        name,
        of(({ cpu, decisions }) => ((cpu.get(name) ?? NaN) * 1e6) / decisions),
      ]),
    ),
  };
}

function judge(rows: readonly LogRow[]): readonly LogBar[] {
  const alone = rows.find(({ proposers }) => proposers === 1)?.ofBare;
  const crowd = rows.find(({ proposers }) => proposers === CROWD)?.perSecond;
  const bars: LogBar[] = [];
  if (alone !== undefined) {
    bars.push({
      bar: `p50 at one proposer, of one round trip and one sync (at most ${MAX_LATENCY_OF_BARE})`,
      ...{ value: alone, met: alone <= MAX_LATENCY_OF_BARE },
    });
  }
  if (crowd !== undefined) {
    bars.push({
      bar: `decisions per second at ${CROWD} proposers (at least ${MIN_PER_SECOND})`,
      ...{ value: crowd, met: crowd >= MIN_PER_SECOND },
    });
  }
  return bars;
}

export function describeLogReport(report: LogReport): string {
  const processes = Object.keys(report.rows[0]?.cpuMicros ?? {});
  const head = ["proposers", "per second", "p50 ms", "p99 ms", "of bare", "per slot"];
  const table = new Table({
    head: report.cpuIsMeasured ? [...head, ...processes.map((name) => `${name} µs`)] : head,
    colAligns: Array.from({ length: head.length + processes.length }, () => "right" as const),
    style: { head: [], border: [], compact: true },
  });
  for (const row of report.rows) table.push(describeRow(row, report.cpuIsMeasured));
  const { syncMs, roundTripMs } = report.bare;
  return [
    table.toString(),
    `${report.cores} cores, Node ${report.node}, ${report.plan.repeats} repeats of ${report.plan.seconds} s, medians`,
    `bare: one fdatasync ${syncMs.toFixed(3)} ms, one ws round trip ${roundTripMs.toFixed(3)} ms; "of bare" is p50 over their sum`,
    report.cpuIsMeasured
      ? "µs: CPU per decision, by process"
      : "CPU is not measured: there is no /proc here",
    ...report.bars.map(
      ({ bar, value, met }) => `${met ? "met" : "MISSED"}: ${value.toFixed(2)} ${bar}`,
    ),
    `commits in the ledgers: ${report.committed.join(", ")}; ledgers agree: ${report.ledgersAgree ? "yes" : "no"}`,
  ].join("\n");
}

function describeRow(row: LogRow, withCpu: boolean): string[] {
  const { proposers, perSecond, p50Ms, p99Ms, ofBare, decisionsPerSlot, cpuMicros } = row;
  const cells = [String(proposers), perSecond.toFixed(0), p50Ms.toFixed(2), p99Ms.toFixed(2)];
  cells.push(ofBare.toFixed(2), decisionsPerSlot.toFixed(1));
  if (!withCpu) return cells;
  return [...cells, ...Object.values(cpuMicros).map((micros) => micros.toFixed(0))];
}
