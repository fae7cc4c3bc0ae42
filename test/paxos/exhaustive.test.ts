/**
 * Every history of small groups, over the production core: agreement (C1, C2), one value per ballot and slot (P1), validity
 * (C4), nothing taken for chosen that no quorum accepted (C3, C5), applied in order (S1), and every assertion in the core
 * itself. Larger scopes: `npm run check:model`.
 */
import { explore } from "./explorer.ts";
import { ownerPatterns } from "./explorer/actions.ts";
import { report, scopeText } from "./explorer/report.ts";
import type { Exploration, Scope, Sight } from "./explorer/scope.ts";

const PATIENCE_MS = 180_000;

function explored(scope: Scope): Exploration {
  return report(scopeText(scope), explore(scope));
}

const MET_EVERYWHERE: readonly Sight[] = [
  "a value of an older ballot is proposed again",
  "a no-op fills a hole",
  "a chosen slot is learned from a peer",
  "a follower takes its leader's word",
  "a leader learns that it was replaced",
];

function expectToHold(exploration: Exploration, more: readonly Sight[]): void {
  expect(exploration.violation).toBeUndefined();
  expect(exploration.complete).toBe(true);
  expect([...exploration.sights].sort()).toEqual([...MET_EVERYWHERE, ...more].sort());
}

test(
  "3 nodes agree on 2 slots under 2 ballots, whatever is lost, repeated or reordered",
  () => {
    const exploration = explored({ nodes: 3, slots: 2, ballots: 2, nacks: true });
    expectToHold(exploration, [
      "a leader is preempted by a nack",
      "a slot is chosen before an earlier one",
    ]);
    expect(exploration.states).toBeGreaterThan(50_000);
  },
  PATIENCE_MS,
);

test(
  "3 nodes agree on 1 slot under 3 ballots, whatever is lost, repeated or reordered",
  () => {
    const exploration = explored({ nodes: 3, slots: 1, ballots: 3, nacks: true });
    expectToHold(exploration, ["a leader is preempted by a nack"]);
    expect(exploration.states).toBeGreaterThan(50_000);
  },
  PATIENCE_MS,
);

test(
  "3 nodes agree though one of them crashes at any moment and forgets what was not durable",
  () => {
    const oneSlot = explored({ nodes: 3, slots: 1, ballots: 2, crashes: 1, nacks: true });
    expectToHold(oneSlot, ["a leader is preempted by a nack", "a node restarts"]);
    const twoSlots = explored({ nodes: 3, slots: 2, ballots: 2, crashes: 1 });
    expectToHold(twoSlots, ["a slot is chosen before an earlier one", "a node restarts"]);
  },
  PATIENCE_MS,
);

test(
  "5 nodes agree on 1 slot under 2 ballots, where old proposals meet nodes that promised nothing",
  () => {
    expectToHold(explored({ nodes: 5, slots: 1, ballots: 2 }), []);
  },
  PATIENCE_MS,
);

test(
  "3 nodes agree when a promise comes in pages of one slot, and when only one slot may be open",
  () => {
    const sooner: Sight = "a slot is chosen before an earlier one";
    expectToHold(explored({ nodes: 3, slots: 2, ballots: 2, pageSlots: 1 }), [sooner]);
    const narrow = explored({ nodes: 3, slots: 2, ballots: 2, windowSlots: 1 });
    expect(narrow.violation).toBeUndefined();
    expect(narrow.complete).toBe(true);
    expect(narrow.sights).not.toContain(sooner);
  },
  PATIENCE_MS,
);

test(
  "what the explorer drops from the message set was dead: without dropping, the same values can be chosen",
  () => {
    const scope: Scope = { nodes: 3, slots: 1, ballots: 2, nacks: true };
    const reduced = explore(scope);
    const full = report("the same with all messages kept", explore({ ...scope, keepsDead: true }));
    expect(full.complete).toBe(true);
    expect(full.violation).toBeUndefined();
    expect(full.states).toBeGreaterThan(10 * reduced.states);
    expect([...full.chosen].sort()).toEqual([...reduced.chosen].sort());
    expect([...full.sights].sort()).toEqual([...reduced.sights].sort());
    expect(reduced.chosen.size).toBeGreaterThan(2);
  },
  PATIENCE_MS,
);

test("owners of ballots are explored up to renaming the nodes", () => {
  const text = (pattern: readonly number[]): string => pattern.join("");
  expect(ownerPatterns(3, 3).map(text)).toEqual(["111", "112", "121", "122", "123"]);
  expect(ownerPatterns(2, 3).map(text)).toEqual(["111", "112", "121", "122"]);
});
