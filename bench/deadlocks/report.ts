/** What the deadlock measurements tell. */
import type { Contended } from "./contended.ts";
import type { Detection, Figures } from "./induced.ts";

const MS_PER_MINUTE = 60_000;

export function describeDetection({ all, ofMix, others }: Detection): string {
  return [
    `${all.made} deadlocks over two and three shards: ${describeFigures(all)}`,
    ...[...ofMix].map(([mix, figures]) => {
      return `  ${figures.made} of transactions ${mix}: ${describeFigures(figures)}`;
    }),
    `ended in another way: ${describeCounts(others)}`,
  ].join("\n");
}

function describeFigures({ p50Ms, p99Ms, maxMs }: Figures): string {
  const [p50, p99, max] = [p50Ms, p99Ms, maxMs].map((ms) => `${ms.toFixed(0)} ms`);
  return `found after ${p50} (p50), ${p99} (p99), ${max} (max)`;
}

export function describeContended({ oneShot, interactive, elapsedMs }: Contended): string {
  const minutes = (elapsedMs / MS_PER_MINUTE).toFixed(1);
  return [
    `${minutes} minutes of waiting without a deadlock`,
    `  in one request: ${describeCounts(oneShot)}`,
    `  interactive: ${describeCounts(interactive)}`,
    `false victims: ${falseVictims({ oneShot, interactive })}`,
  ].join("\n");
}

export function falseVictims({
  oneShot,
  interactive,
}: Pick<Contended, "oneShot" | "interactive">): number {
  return (oneShot.get("deadlock") ?? 0) + (interactive.get("deadlock") ?? 0);
}

function describeCounts(counts: ReadonlyMap<string, number>): string {
  const all = [...counts].map(([name, count]) => `${name} ${count}`);
  return all.length === 0 ? "none" : all.join(", ");
}
