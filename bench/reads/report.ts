/** The figures of the bank in words. */
import Table from "cli-table3";
import type { Disturbances } from "./chaos.ts";
import type { Counts } from "./counting.ts";

export interface ReadsReport {
  readonly seconds: number;
  readonly shards: number;
  readonly writers: number;
  readonly readers: number;
  /** Transfers. */
  readonly committed: number;
  readonly whole: Counts;
  readonly plain: Counts;
  /** Interactive transactions, shard by shard. */
  readonly snapshot: Counts;
  readonly repeatable: Counts;
  readonly disturbances: Disturbances;
}

/** The others must have shown that there was something to see. */
export function isWhole({ whole, plain, snapshot, repeatable }: ReadsReport): boolean {
  const never = [whole, snapshot].every(({ reads, fractured }) => reads > 0 && fractured === 0);
  return never && [plain, repeatable].every(({ fractured }) => fractured > 0);
}

export function describeReads(report: ReadsReport): string {
  const table = new Table({ head: ["", "reads", "fractured", "failed", "p50 ms", "p99 ms"] });
  const row = (name: string, counts: Counts): (string | number)[] => [
    ...[name, counts.reads, counts.fractured, counts.failed],
    ...[counts.p50Ms.toFixed(1), counts.p99Ms.toFixed(1)],
  ];
  table.push(
    row("POST /v1/reads", report.whole),
    row("each shard by itself", report.plain),
    row("interactive, snapshot", report.snapshot),
    row("interactive, repeatable read", report.repeatable),
  );
  const { shards, writers, readers, seconds, committed, disturbances } = report;
  return [
    table.toString(),
    `${shards} shards, ${writers} writers, ${readers} readers of each kind, ${seconds} s: ${committed} transfers committed, ` +
      `${disturbances.leadersKilled} leaders killed, ${disturbances.participantsPaused} times a participant stood still`,
    `POST /v1/reads and isolation snapshot show every transaction whole: ${isWhole(report) ? "yes" : "no"}`,
  ].join("\n");
}
