/** A run told to people: what broke, how to see it again, and what happened last. */
import type { SimulationResult } from "./simulation.ts";

const DEFAULT_LINES = 60;

/** `lines`: how much of the trace to tell; unless given, nothing of a run in which every promise was kept. */
export function storyOf(result: SimulationResult, lines?: number): string {
  const { failure, lastLines } = result;
  const shown = lines ?? (failure === undefined ? 0 : DEFAULT_LINES);
  const trace = shown === 0 ? [] : [...lastLines.slice(-shown), ""];
  return [...trace, headOf(result), ...(failure === undefined ? good(result) : bad(result))].join(
    "\n",
  );
}

function headOf({ seed, events, virtualMs, calls, slots, traceHash }: SimulationResult): string {
  const seconds = (virtualMs / 1000).toFixed(1);
  return `seed ${seed}: ${events} events in ${seconds} virtual seconds, ${calls} calls, ${slots} slots, trace ${traceHash}`;
}

function good({ counts }: SimulationResult): readonly string[] {
  const told = [...counts].map(([what, times]) => `${times} ${what}`).join(", ");
  return [`  ${told}`, "  every promise was kept"];
}

/** The command that shows the run again. */
export function replayOf({ seed, mutation, world }: SimulationResult): string {
  return (
    `npm run simulate -- --seed ${seed}` +
    (mutation === "none" ? "" : ` --mutation "${mutation}"`) +
    (world === "none" ? "" : ` --world "${world}"`)
  );
}

function bad(result: SimulationResult): readonly string[] {
  const { failure } = result;
  return [
    `BROKEN: ${failure?.message ?? ""}`,
    ...(failure?.name === "Violation" ? [] : [failure?.stack ?? ""]),
    `replay: ${replayOf(result)}`,
  ];
}
