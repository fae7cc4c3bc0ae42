/** One line for a figure, and the schedule for a violation, straight to the terminal. */
import type { Exploration, Scope } from "./scope.ts";

export function scopeText({ nodes, slots, ballots, crashes, nacks, windowSlots }: Scope): string {
  const parts = [counted(nodes, "node"), counted(slots, "slot"), counted(ballots, "ballot")];
  if (crashes !== undefined && crashes > 0) parts.push(`crashes ${crashes}`);
  if (nacks === true) parts.push("nacks");
  if (windowSlots !== undefined) parts.push(`window ${windowSlots}`);
  return parts.join(" × ");
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

export function report(title: string, exploration: Exploration): Exploration {
  const { states, transitions, localSteps, depth, milliseconds, complete, violation } = exploration;
  const seconds = (milliseconds / 1000).toFixed(1);
  const verdict = violation === undefined ? (complete ? "holds" : "INCOMPLETE") : violation.what;
  process.stdout.write(
    `${title}: ${states} states, ${transitions} transitions, ${localSteps} steps, ` +
      `depth ${depth}, ${seconds} s: ${verdict}\n`,
  );
  for (const line of violation?.schedule ?? []) process.stdout.write(`    ${line}\n`);
  return exploration;
}
