/** A run told to people: what broke, how to see it again, and what happened last. */
import type { SimulationResult } from "./simulation.ts";

export function storyOf(result: SimulationResult, lines = 60): string {
  const { seed, failure, traceHash, events, virtualMs, slots, calls, lastLines, counts } = result;
  const head =
    `seed ${seed}: ${events} events in ${(virtualMs / 1000).toFixed(1)} virtual seconds, ` +
    `${calls} calls, ${slots} slots, trace ${traceHash}`;
  if (failure === undefined) {
    const told = [...counts].map(([what, times]) => `${times} ${what}`).join(", ");
    return `${head}\n  ${told}\n  every promise was kept`;
  }
  return [
    ...lastLines.slice(lastLines.length - lines),
    "",
    head,
    `BROKEN: ${failure.message}`,
    ...(failure.name === "Violation" ? [] : [failure.stack ?? ""]),
    `replay: npm run simulate -- --seed ${seed}`,
  ].join("\n");
}
