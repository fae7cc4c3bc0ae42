/** What a node is after a restart, from whole and from cut records. */
import fc from "fast-check";
import { InvariantViolation } from "../../shared/model/assert.ts";
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { majority, recover } from "../../coordinator/paxos/recover.ts";
import type { Entry } from "../../coordinator/paxos/state.ts";
import { between, configOf, Group, text, value } from "./support/group.ts";

const B11 = ballot(1, nodeId(1));
const B22 = ballot(2, nodeId(2));

/** A node with a past: led, was replaced, learned, followed. */
function aged(): Group {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "one", "two", "three");
  group.deliver(between(1, 2));
  group.drop();
  group.elect(2);
  group.propose(2, "four");
  group.deliver(between(2, 3));
  group.drop();
  group.run(30);
  group.propose(2, "five");
  group.deliver(between(1, 2));
  return group;
}

function entries(group: Group, node: number): readonly (readonly [number, Entry])[] {
  return [...group.state(node).log.from(slot(1))];
}

test("a restart keeps the promise, every accepted value, and what was noted as chosen", () => {
  const group = aged();
  for (const node of [1, 2, 3]) {
    const before = group.state(node);
    const was = entries(group, node);
    group.restart(node);
    const after = group.state(node);
    expect(after.promised).toBe(before.promised);
    expect(after.role.kind).toBe("follower");
    expect(after.chosenUpTo).toBeLessThanOrEqual(before.chosenUpTo);
    expect(entries(group, node).map(([at, entry]) => [at, text(entry.value)])).toEqual(
      was.map(([at, entry]) => [at, text(entry.value)]),
    );
  }
});

test("a torn suffix of the log costs only what was in it: every prefix is a node that once was", () => {
  for (const node of [1, 2, 3]) {
    const group = aged();
    const whole = [...group.records(node)];
    let before = recover(configOf(node, 3), []).state;
    for (let kept = 0; kept <= whole.length; kept += 1) {
      const { state, apply } = recover(configOf(node, 3), whole.slice(0, kept));
      expect(state.promised).toBeGreaterThanOrEqual(before.promised);
      expect(state.chosenUpTo).toBeGreaterThanOrEqual(before.chosenUpTo);
      expect(apply.map((chosen) => chosen.slot)).toEqual(apply.map((_, index) => index + 1));
      expect(apply.at(-1)?.slot ?? 0).toBe(state.chosenUpTo);
      before = state;
    }
  }
});

test("a node that lost its unsynced suffix catches up and ends where the others are", () => {
  const group = aged();
  group.restart(3, 2);
  group.run(300);
  expect(group.applied(3)).toEqual(group.applied(2));
  expect(group.applied(3)).toEqual(["one", "two", "three", "four", "five"]);
});

test("the later record of a slot replaces the earlier, but never one that is chosen", () => {
  const records: DurableRecord[] = [
    { kind: "accepted", ballot: B11, slot: slot(1), value: value("old") },
    { kind: "accepted", ballot: B22, slot: slot(1), value: value("new") },
    { kind: "learned", slot: slot(2), value: value("learned") },
    { kind: "accepted", ballot: B22, slot: slot(2), value: value("learned") },
  ];
  const { state, apply } = recover(configOf(1, 3), records);
  expect(state.log.get(slot(1))).toEqual({ kind: "accepted", ballot: B22, value: value("new") });
  const learned = { kind: "chosen", value: value("learned"), acceptedUnder: B22 };
  expect(state.log.get(slot(2))).toEqual(learned);
  expect(state.promised).toBe(B22);
  expect(apply).toEqual([]);
});

test("the hint makes accepted slots chosen, and learned ones behind it follow", () => {
  const records: DurableRecord[] = [
    { kind: "learned", slot: slot(2), value: value("two") },
    { kind: "accepted", ballot: B11, slot: slot(1), value: value("one") },
    { kind: "chosenUpTo", slot: slot(1) },
  ];
  const { apply, state } = recover(configOf(1, 3), records);
  expect(apply.map((chosen) => text(chosen.value))).toEqual(["one", "two"]);
  expect(state.hintedUpTo).toBe(2);
});

test("C3: a hint about a slot that the log does not hold stops the node", () => {
  expect(() => recover(configOf(1, 3), [{ kind: "chosenUpTo", slot: slot(1) }])).toThrow(
    InvariantViolation,
  );
});

test("a majority is the smallest quorum that meets itself", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), (members) => {
      const quorum = majority(members);
      expect(2 * quorum).toBeGreaterThan(members);
      expect(2 * (quorum - 1)).toBeLessThanOrEqual(members);
    }),
  );
});

test.each([
  ["a node is a member of its own group", { self: nodeId(7) }],
  ["members are distinct", { members: [nodeId(1), nodeId(1)] }],
  ["G3: every two quorums intersect", { phase1Quorum: 1 }],
  ["quorums can be met", { phase1Quorum: 4 }],
  ["bounds are positive", { windowSlots: 0 }],
  ["what a leader proposes can be accepted", { windowSlots: 4, acceptAheadSlots: 3 }],
  ["an election timeout outlasts a lost heartbeat", { heartbeatIntervalMs: 60 }],
])("a group that could not be safe or live is refused: %s", (reason, overrides) => {
  expect(() => recover(configOf(1, 3, overrides), [])).toThrow(reason);
});
