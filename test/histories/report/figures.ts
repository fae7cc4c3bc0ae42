/** The numbers of a run that its charts and tables show. */
import { inDoubtSpans, type InDoubtSpan, type ShardSample } from "../audit/in-doubt.ts";
import { percentile } from "../history/percentile.ts";
import { transactionsOf } from "../history/transactions.ts";
import type { LeaderSample, ReportInput } from "./input.ts";

/** Longer runs are shown in steps of several seconds. */
const MAX_BUCKETS = 3_600;

export interface Bucket {
  readonly fromMs: number;
  readonly committedPerSecond: number;
  readonly abortedPerSecond: number;
  readonly unclearPerSecond: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** The most at any moment; null before the first sample. */
  readonly inDoubt: number | null;
}

export interface Pause {
  readonly fromMs: number;
  readonly ms: number;
}

export interface Figures {
  readonly endMs: number;
  readonly bucketMs: number;
  readonly buckets: readonly Bucket[];
  readonly committed: number;
  readonly aborted: number;
  readonly unclear: number;
  /** Ascending. */
  readonly latenciesMs: readonly number[];
  /** Between two commits, whoever's they were; the last one may be ended by the end of the load. */
  readonly pauses: readonly Pause[];
  readonly spans: readonly InDoubtSpan[];
  readonly reigns: readonly Reign[];
}

interface Reign {
  readonly leader: string | null;
  readonly fromMs: number;
  readonly untilMs: number;
}

export function figuresOf(input: ReportInput): Figures {
  const transactions = transactionsOf(input.events);
  const endMs = endOf(input);
  const bucketMs = 1_000 * Math.max(1, Math.ceil(endMs / 1_000 / MAX_BUCKETS));
  const count = Math.floor(endMs / bucketMs) + 1;
  const latencies = Array.from({ length: count }, (): number[] => []);
  const aborted = new Array<number>(count).fill(0);
  const unclear = new Array<number>(count).fill(0);
  const commitsMs: number[] = [];
  for (const it of transactions) {
    if (it.outcome === "committed") {
      latencies[Math.floor(it.endMs / bucketMs)]?.push(it.endMs - it.startMs);
      commitsMs.push(it.endMs);
    } else if (it.outcome === "aborted") {
      add(aborted, it.endMs / bucketMs);
    }
  }
  for (const it of input.events) if (it.event === "info") add(unclear, it.atMs / bucketMs);
  const inDoubt = inDoubtByBucket(input.samples, bucketMs, count);
  const perSecond = (amount: number): number => (amount * 1_000) / bucketMs;
  const buckets = latencies.map((values, index): Bucket => {
    const ascending = values.sort(ascend);
    return {
      fromMs: index * bucketMs,
      committedPerSecond: perSecond(ascending.length),
      abortedPerSecond: perSecond(aborted[index] ?? 0),
      unclearPerSecond: perSecond(unclear[index] ?? 0),
      p50Ms: percentile(ascending, 0.5),
      p99Ms: percentile(ascending, 0.99),
      inDoubt: inDoubt[index] ?? null,
    };
  });
  const outcomes = (outcome: string): number =>
    transactions.filter((it) => it.outcome === outcome).length;
  return {
    ...{ endMs, bucketMs, buckets },
    ...{ committed: commitsMs.length, aborted: outcomes("aborted"), unclear: outcomes("unclear") },
    latenciesMs: latencies.flat().sort(ascend),
    pauses: pausesBetween(commitsMs.sort(ascend), input.events.at(-1)?.atMs ?? 0),
    spans: inDoubtSpans(input.samples),
    reigns: reignsOf(input.leaders, endMs),
  };
}

/** At least 1, so that there is something to divide by. */
function endOf({ events, faults, leaders, samples }: ReportInput): number {
  let endMs = Math.max(1, events.at(-1)?.atMs ?? 0, leaders.at(-1)?.atMs ?? 0);
  for (const { fromMs, untilMs } of faults) endMs = Math.max(endMs, untilMs ?? fromMs);
  for (const { atMs } of samples) endMs = Math.max(endMs, atMs);
  return endMs;
}

function inDoubtByBucket(
  samples: readonly ShardSample[],
  bucketMs: number,
  count: number,
): readonly (number | null)[] {
  const most = new Array<number | null>(count).fill(null);
  const byShard = new Map<string, number>();
  let total: number | null = null;
  let filled = 0;
  for (const sample of [...samples].sort((one, other) => one.atMs - other.atMs)) {
    const bucket = Math.floor(sample.atMs / bucketMs);
    for (; filled <= bucket; filled += 1) most[filled] = total;
    if (sample.kind === "unreachable") continue;
    total = (total ?? 0) + sample.branches.length - (byShard.get(sample.shard) ?? 0);
    byShard.set(sample.shard, sample.branches.length);
    most[bucket] = Math.max(most[bucket] ?? 0, total);
  }
  return most;
}

function pausesBetween(ascendingMs: readonly number[], endMs: number): readonly Pause[] {
  return ascendingMs.map((fromMs, index) => {
    return { fromMs, ms: (ascendingMs[index + 1] ?? Math.max(fromMs, endMs)) - fromMs };
  });
}

function reignsOf(samples: readonly LeaderSample[], endMs: number): readonly Reign[] {
  const turns = samples.filter(({ leader }, at) => at === 0 || samples[at - 1]?.leader !== leader);
  return turns.map(({ leader, atMs }, at) => {
    return { leader, fromMs: atMs, untilMs: turns[at + 1]?.atMs ?? endMs };
  });
}

/** Moments at which somebody leads who did not lead last. */
export function leaderChangesMs(reigns: Figures["reigns"]): readonly number[] {
  const known = reigns.filter(({ leader }) => leader !== null);
  return known
    .filter(({ leader }, at) => at > 0 && known[at - 1]?.leader !== leader)
    .map(({ fromMs }) => fromMs);
}

function add(counts: number[], place: number): void {
  const index = Math.floor(place);
  counts[index] = (counts[index] ?? 0) + 1;
}

function ascend(one: number, other: number): number {
  return one - other;
}
