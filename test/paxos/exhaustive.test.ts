/**
 * Every history of small groups, over the production core: agreement (C1, C2), one value per ballot and slot (P1), validity
 * (C4), nothing taken for chosen that no quorum accepted (C3, C5, A6), applied in order (S1), nothing said too early (A4, E2),
 * one candidate per ballot (E1), and every assertion in the core itself. All scopes: `npm run check:model`.
 */
import { explore } from "./explorer.ts";
import { ownerPatterns } from "./explorer/actions.ts";
import { report, scopeText, unmet } from "./explorer/report.ts";
import type { Exploration, Scope } from "./explorer/scope.ts";
import { MODEL_CHECKS } from "./model-checks.ts";

const PATIENCE_MS = 180_000;

function expectToHold({ violation, complete }: Exploration): void {
  expect(violation).toBeUndefined();
  expect(complete).toBe(true);
}

const BRIEF = MODEL_CHECKS.filter(({ length }) => length === "brief");

test.each(BRIEF.map((check) => [`${check.title}: ${scopeText(check.scope)}`, check] as const))(
  "every history holds: %s",
  (title, { scope, mustMeet }) => {
    const exploration = report(title, explore(scope));
    expectToHold(exploration);
    expect(unmet(exploration, mustMeet)).toEqual([]);
    expect(exploration.states).toBeGreaterThan(5_000);
  },
  PATIENCE_MS,
);

test(
  "where only one slot may be open, none is ever chosen before an earlier one",
  () => {
    const narrow: Scope = { nodes: 3, slots: 2, ballots: 2, windowSlots: 1 };
    const exploration = report(scopeText(narrow), explore(narrow));
    expectToHold(exploration);
    expect(exploration.sights).not.toContain("a slot is chosen before an earlier one");
  },
  PATIENCE_MS,
);

test(
  "what the explorer drops from the message set was dead: without dropping, the same values can be chosen",
  () => {
    const scope: Scope = { nodes: 3, slots: 1, ballots: 2, nacks: true };
    const reduced = explore(scope);
    const full = report("the same with all messages kept", explore({ ...scope, keepsDead: true }));
    expectToHold(full);
    expect(full.states).toBeGreaterThan(10 * reduced.states);
    expect([...full.chosen].sort()).toEqual([...reduced.chosen].sort());
    expect([...full.sights].sort()).toEqual([...reduced.sights].sort());
    expect(reduced.chosen.size).toBeGreaterThan(2);
  },
  PATIENCE_MS,
);

test("a scope that outgrows its bound says so, and claims nothing", () => {
  const { complete, violation } = explore({ nodes: 3, slots: 2, ballots: 2, maxStates: 1_000 });
  expect(complete).toBe(false);
  expect(violation).toBeUndefined();
});

test("a situation that was not met is named", () => {
  const exploration = explore({ nodes: 3, slots: 1, ballots: 1 });
  expect(unmet(exploration, ["a follower takes its leader's word", "a node restarts"])).toEqual([
    "a node restarts",
  ]);
});

test("owners of ballots are explored up to renaming the nodes", () => {
  const text = (pattern: readonly number[]): string => pattern.join("");
  expect(ownerPatterns(3, 3).map(text)).toEqual(["111", "112", "121", "122", "123"]);
  expect(ownerPatterns(2, 3).map(text)).toEqual(["111", "112", "121", "122"]);
});
