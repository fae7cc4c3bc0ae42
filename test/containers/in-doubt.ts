/** How long branches that a fault left behind stay prepared, as the samples of their shards show it. */
import { setTimeout } from "node:timers/promises";
import { type InDoubtSpan, inDoubtSpans } from "../histories/audit/in-doubt.ts";
import type { Recording } from "./recording.ts";

/** Zero branches may be in doubt so long after the last fault. */
export const IN_DOUBT_BOUND_MS = 5_000;

const LOOK_INTERVAL_MS = 100;

/**
 * From now until the last branch that is prepared at this moment is gone; null when one is still there at the bound. Samples count
 * from `fromSample` on, which is older than the fault.
 */
export async function awaitOldBranchesFinished(
  recording: Recording,
  shards: number,
  fromSample: number,
): Promise<number | null> {
  const sinceMs = recording.nowMs();
  const old = (): readonly InDoubtSpan[] =>
    inDoubtSpans(recording.samples.slice(fromSample)).filter(({ fromMs }) => fromMs < sinceMs);
  const isOver = (): boolean =>
    sampledSince(recording, sinceMs) === shards && old().every(({ untilMs }) => untilMs !== null);
  while (!isOver()) {
    if (recording.nowMs() > sinceMs + IN_DOUBT_BOUND_MS) return null;
    await setTimeout(LOOK_INTERVAL_MS);
  }
  return Math.max(sinceMs, ...old().map(({ untilMs }) => untilMs ?? 0)) - sinceMs;
}

/** How many shards have answered. */
function sampledSince({ samples }: Recording, sinceMs: number): number {
  const seen = new Set<string>();
  for (let at = samples.length - 1; at >= 0; at -= 1) {
    const sample = samples[at];
    if (sample === undefined || sample.atMs < sinceMs) break;
    if (sample.kind === "prepared") seen.add(sample.shard);
  }
  return seen.size;
}
