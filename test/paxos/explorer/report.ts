/** Figures in rows, and the schedule for a violation, for the terminal. */
import type { Exploration, Scope } from "./scope.ts";

export function scopeText(scope: Scope): string {
  const { nodes, slots, ballots, crashes = 0, snapshots = 0, timeouts = 0 } = scope;
  const parts = [`${nodes} × ${slots} × ${ballots}`];
  if (crashes > 0) parts.push(counted(crashes, "crash", "crashes"));
  if (snapshots > 0) parts.push(counted(snapshots, "snapshot"));
  if (timeouts > 0) parts.push(counted(timeouts, "time-out"));
  if (scope.nacks === true) parts.push("nacks");
  if (scope.windowSlots !== undefined) parts.push(`window ${scope.windowSlots}`);
  if (scope.pageSlots !== undefined) parts.push(`pages of ${scope.pageSlots}`);
  return parts.join(", ");
}

function counted(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

export function unmet({ sights }: Exploration, mustMeet: readonly string[]): readonly string[] {
  return mustMeet.filter((sight) => !sights.has(sight));
}

const COLUMNS = [55, 36, 9, 11, 7, 6, 8] as const;

function row(cells: readonly (string | number)[]): string {
  const padded = cells.map((cell, index) => {
    const width = COLUMNS[index] ?? 0;
    return typeof cell === "number" ? String(cell).padStart(width) : cell.padEnd(width);
  });
  return `${padded.join(" ").trimEnd()}\n`;
}

export function header(): string {
  const scope = "nodes × slots × ballots";
  return row([
    "check",
    scope,
    "   states",
    "transitions",
    "  steps",
    " depth",
    " seconds",
    "verdict",
  ]);
}

export function reportRow(
  title: string,
  scope: Scope,
  exploration: Exploration,
  mustMeet: readonly string[],
): string {
  const { states, transitions, localSteps, depth, milliseconds } = exploration;
  const seconds = Math.round(milliseconds / 100) / 10;
  const verdict = verdictOf(exploration, mustMeet);
  const figures = [states, transitions, localSteps, depth, seconds];
  const details = [
    `met: ${[...exploration.sights].sort().join("; ")}`,
    ...(exploration.violation?.schedule ?? []),
  ];
  return row([title, scopeText(scope), ...figures, verdict]) + details.map(indented).join("");
}

function indented(line: string): string {
  return `    ${line}\n`;
}

function verdictOf(exploration: Exploration, mustMeet: readonly string[]): string {
  const { violation, complete } = exploration;
  if (violation !== undefined) return violation.what;
  if (!complete) return "INCOMPLETE";
  const missing = unmet(exploration, mustMeet);
  return missing.length > 0 ? `NEVER MET: ${missing.join("; ")}` : "holds";
}

/** The same for a test, in one line. */
export function report(title: string, exploration: Exploration): Exploration {
  const { states, transitions, localSteps, depth, milliseconds } = exploration;
  const seconds = (milliseconds / 1000).toFixed(1);
  process.stdout.write(
    `${title}: ${states} states, ${transitions} transitions, ${localSteps} steps, ` +
      `depth ${depth}, ${seconds} s: ${verdictOf(exploration, [])}\n`,
  );
  process.stdout.write((exploration.violation?.schedule ?? []).map(indented).join(""));
  return exploration;
}
