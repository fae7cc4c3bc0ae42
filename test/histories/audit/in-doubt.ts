/**
 * How long branches were in doubt, as their shards show it: from PREPARE TRANSACTION, whose time Postgres keeps, to the first sample
 * in which the branch is prepared no more. That is too long by up to the distance of two samples, never too short; a branch that
 * came and went between two samples is in none. The query of a sample, so that only the database's own clock is read:
 *
 *   select gid, transaction::text as xid, extract(epoch from clock_timestamp() - prepared) * 1000 as prepared_for_ms
 *   from pg_prepared_xacts where database = current_database()
 */
import { HistoryFault } from "../history/history-fault.ts";
import { percentile } from "../history/percentile.ts";

/** `atMs` is of the clock of the history. */
export type ShardSample =
  | {
      readonly kind: "prepared";
      readonly shard: string;
      readonly atMs: number;
      readonly branches: readonly SampledBranch[];
    }
  /** Its branches stay as they were last seen. */
  | { readonly kind: "unreachable"; readonly shard: string; readonly atMs: number };

interface SampledBranch {
  readonly gid: string;
  /** Of `pg_prepared_xacts`: 32 bits, enough to tell two branches of one gid apart. */
  readonly xid: string;
  readonly preparedForMs: number;
}

export interface InDoubtSpan {
  readonly shard: string;
  readonly gid: string;
  readonly fromMs: number;
  readonly lastSeenMs: number;
  /** Null while it is in doubt still. */
  readonly untilMs: number | null;
}

export interface InDoubtSummary {
  readonly branches: number;
  /** At the end of the samples; in the figures with the age that they had when they were seen last. */
  readonly open: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** In the order in which they ended; those that did not come last. */
export function inDoubtSpans(samples: Iterable<ShardSample>): readonly InDoubtSpan[] {
  const ended: InDoubtSpan[] = [];
  const shards = new Map<string, { atMs: number; open: Map<string, InDoubtSpan> }>();
  for (const sample of samples) {
    const { shard, atMs } = sample;
    const state = shards.get(shard) ?? { atMs: 0, open: new Map<string, InDoubtSpan>() };
    if (atMs < state.atMs) {
      throw new HistoryFault(
        `sample of ${shard} at ${atMs} ms comes after one at ${state.atMs} ms`,
      );
    }
    shards.set(shard, state);
    state.atMs = atMs;
    if (sample.kind === "unreachable") continue;
    const open = new Map<string, InDoubtSpan>();
    for (const { gid, xid, preparedForMs } of sample.branches) {
      const key = `${gid} ${xid}`;
      const fromMs = state.open.get(key)?.fromMs ?? atMs - preparedForMs;
      open.set(key, { shard, gid, fromMs, lastSeenMs: atMs, untilMs: null });
    }
    for (const [key, span] of state.open) {
      if (!open.has(key)) ended.push({ ...span, untilMs: atMs });
    }
    state.open = open;
  }
  return [...ended, ...[...shards.values()].flatMap(({ open }) => [...open.values()])];
}

export function durationMsOf({ fromMs, lastSeenMs, untilMs }: InDoubtSpan): number {
  return (untilMs ?? lastSeenMs) - fromMs;
}

export function summarizeInDoubt(spans: readonly InDoubtSpan[]): InDoubtSummary {
  const ascending = spans.map(durationMsOf).sort((one, other) => one - other);
  return {
    branches: spans.length,
    open: spans.filter(({ untilMs }) => untilMs === null).length,
    p50Ms: percentile(ascending, 0.5),
    p99Ms: percentile(ascending, 0.99),
    maxMs: ascending.at(-1) ?? null,
  };
}
