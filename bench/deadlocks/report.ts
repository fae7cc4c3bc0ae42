/** What the deadlock measurements tell. */
import type { Contended } from "./contended.ts";
import type { Detection } from "./induced.ts";

const MS_PER_MINUTE = 60_000;

export function describeDetection({ made, p50Ms, p99Ms, maxMs, others }: Detection): string {
  const figures = [p50Ms, p99Ms, maxMs].map((ms) => `${ms.toFixed(0)} ms`);
  return [
    `${made} deadlocks over two and three shards: found after ${figures[0]} (p50), ${figures[1]} (p99), ${figures[2]} (max)`,
    `ended in another way: ${describeCounts(others)}`,
  ].join("\n");
}

export function describeContended({ answers, elapsedMs }: Contended): string {
  const minutes = (elapsedMs / MS_PER_MINUTE).toFixed(1);
  return [
    `${minutes} minutes of waiting without a deadlock: ${describeCounts(answers)}`,
    `false victims: ${answers.get("deadlock") ?? 0}`,
  ].join("\n");
}

function describeCounts(counts: ReadonlyMap<string, number>): string {
  const all = [...counts].map(([name, count]) => `${name} ${count}`);
  return all.length === 0 ? "none" : all.join(", ");
}
