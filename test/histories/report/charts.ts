/** The charts of a run, all over the same time. */
import { laneChart, lineChart, type Lane, type Series, type Timeline } from "./chart.ts";
import { leaderChangesMs, type Bucket, type Figures } from "./figures.ts";
import type { Fault, ReportInput } from "./input.ts";
import type { Markup } from "./markup.ts";
import { linearScale, logarithmicScale } from "./scale.ts";
import { amount, clock, duration } from "./words.ts";

export function charts({ faults }: ReportInput, figures: Figures): readonly Markup[] {
  const { endMs, reigns } = figures;
  const timeline: Timeline = { endMs, faults, leaderChangesMs: leaderChangesMs(reigns) };
  return [
    laneChart(
      { id: "faults", title: "Faults", unit: "nemesis" },
      timeline,
      faultLanes(faults, endMs),
    ),
    laneChart({ id: "leaders", title: "Who leads", unit: "node" }, timeline, leaderLanes(reigns)),
    throughput(figures, timeline),
    latency(figures, timeline),
    inDoubt(figures, timeline),
  ];
}

/** A step that is cut short by the end of the run would look like a collapse. */
function throughput({ buckets, bucketMs, endMs }: Figures, timeline: Timeline): Markup {
  const whole = buckets.filter(({ fromMs }) => fromMs === 0 || fromMs + bucketMs <= endMs);
  const series = [
    seriesOf("committed", "s1", whole, bucketMs, (it) => it.committedPerSecond),
    seriesOf("aborted", "s2", whole, bucketMs, (it) => it.abortedPerSecond),
    seriesOf("unclear", "s3", whole, bucketMs, (it) => it.unclearPerSecond),
  ];
  const frame = { id: "throughput", title: "Throughput", unit: "transactions/s" };
  return lineChart(frame, timeline, series, { scale: linearScale(mostOf(series)), label: amount });
}

function latency({ buckets, bucketMs }: Figures, timeline: Timeline): Markup {
  const series = [
    seriesOf("p50", "s1", buckets, bucketMs, (it) => it.p50Ms),
    seriesOf("p99", "s2", buckets, bucketMs, (it) => it.p99Ms),
  ];
  const least = buckets.reduce((low, { p50Ms }) => Math.min(low, p50Ms ?? low), Infinity);
  const scale = logarithmicScale(
    Math.max(0.1, Number.isFinite(least) ? least : 1),
    Math.max(1, mostOf(series)),
  );
  const frame = { id: "latency", title: "Latency of commits", unit: "logarithmic" };
  return lineChart(frame, timeline, series, { scale, label: duration });
}

function inDoubt({ buckets, bucketMs }: Figures, timeline: Timeline): Markup {
  const series = [seriesOf("in doubt", "s1", buckets, bucketMs, (it) => it.inDoubt)];
  const frame = {
    id: "in-doubt",
    title: "Prepared, not finished (the most seen)",
    unit: "branches",
  };
  return lineChart(frame, timeline, series, { scale: linearScale(mostOf(series)), label: amount });
}

function seriesOf(
  name: string,
  style: string,
  buckets: readonly Bucket[],
  bucketMs: number,
  valueOf: (bucket: Bucket) => number | null,
): Series {
  const points = buckets.map((it) => [it.fromMs + bucketMs / 2, valueOf(it)] as const);
  return { name, style, points };
}

function mostOf(series: readonly Series[]): number {
  return series
    .flatMap(({ points }) => points)
    .reduce((most, [, value]) => Math.max(most, value ?? 0), 0);
}

function faultLanes(faults: readonly Fault[], endMs: number): readonly Lane[] {
  return lanesBy(faults, ({ kind }) => kind).map(([name, ofKind]) => {
    const bars = ofKind.map(({ target, fromMs, untilMs }) => {
      const until = untilMs === null ? "the end" : clock(untilMs);
      const title = `${name}: ${target}, ${clock(fromMs)} to ${until}`;
      return { fromMs, untilMs: untilMs ?? endMs, title };
    });
    return { name, bars };
  });
}

function leaderLanes(reigns: Figures["reigns"]): readonly Lane[] {
  return lanesBy(reigns, ({ leader }) => leader ?? "nobody").map(([name, ofLeader]) => {
    const bars = ofLeader.map(({ fromMs, untilMs }) => {
      return { fromMs, untilMs, title: `${name}, ${clock(fromMs)} to ${clock(untilMs)}` };
    });
    return { name, bars };
  });
}

function lanesBy<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
): readonly (readonly [string, readonly Item[]])[] {
  const lanes = new Map<string, Item[]>();
  for (const item of items) {
    const lane = lanes.get(nameOf(item));
    if (lane === undefined) lanes.set(nameOf(item), [item]);
    else lane.push(item);
  }
  return [...lanes].sort(([one], [other]) => one.localeCompare(other));
}
