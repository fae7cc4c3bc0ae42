/**
 * The exhaustive checks that are too long for every test run, with their figures.
 *
 *   npm run check:model                      all of them (some minutes)
 *   npm run check:model -- 3 2 2 1           one scope: nodes, slots, ballots, crashes
 *
 * Exit code 1 when an invariant breaks or a scope outgrows its bound.
 */
import { explorePresumedAbort } from "../transactions/presumed-abort-explorer.ts";
import { explore } from "./explorer.ts";
import { report, scopeText } from "./explorer/report.ts";
import type { Exploration, Scope } from "./explorer/scope.ts";

const MAX_STATES = 5_000_000;

const SCOPES: readonly Scope[] = [
  { nodes: 3, slots: 2, ballots: 2, nacks: true },
  { nodes: 3, slots: 1, ballots: 3, nacks: true },
  { nodes: 3, slots: 2, ballots: 2, crashes: 1, nacks: true },
  { nodes: 3, slots: 1, ballots: 3, crashes: 1, nacks: true },
  { nodes: 3, slots: 1, ballots: 4 },
  { nodes: 3, slots: 3, ballots: 2 },
  { nodes: 3, slots: 2, ballots: 3 },
  { nodes: 5, slots: 1, ballots: 2, crashes: 1 },
];

function scopeFrom([nodes = 3, slots = 1, ballots = 2, crashes = 0]: readonly number[]): Scope {
  return { nodes, slots, ballots, crashes, nacks: true };
}

function run(scopes: readonly Scope[]): readonly Exploration[] {
  return scopes.map((scope) =>
    report(scopeText(scope), explore({ ...scope, maxStates: MAX_STATES })),
  );
}

function presumedAbort(): Exploration {
  const scope = { commits: 2, ballots: 3, slots: 3, windowSlots: 2, voidsCommitsBelowFloor: true };
  return report("presumed abort, floor rule on", explorePresumedAbort(scope));
}

const numbers = process.argv.slice(2).map(Number);
const explorations =
  numbers.length > 0 ? run([scopeFrom(numbers)]) : [...run(SCOPES), presumedAbort()];
if (!explorations.every(({ complete }) => complete)) process.exitCode = 1;
