/** Becoming leader: what phase 1 must gather, and what follows from it. */
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import type { ReportedSlot } from "../../coordinator/paxos/message.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { between, Group, ofKind, to, value } from "./support/group.ts";

const B12 = ballot(1, nodeId(2));
const B13 = ballot(1, nodeId(3));
const B21 = ballot(2, nodeId(1));

const accepted = (at: number, under: typeof B12, text: string): ReportedSlot => ({
  kind: "accepted",
  slot: slot(at),
  ballot: under,
  value: value(text),
});

/** Node 1 of five campaigns under 2.1; its own promise has not come yet. */
function campaigning(size = 5): Group {
  const group = new Group(size);
  group.receive(1, 2, { kind: "nack", ballot: B12, promised: B13 });
  group.campaign(1);
  return group;
}

function promise(group: Group, from: number, slots: readonly ReportedSlot[]): void {
  const range = { fromSlot: slot(1), nextSlot: null, truncatedUpTo: slot(0) };
  group.receive(1, from, { kind: "phase1b", ballot: B21, ...range, slots });
}

test("E2: a node's own promise is durable before anyone hears of its ballot", () => {
  const { state, output } = step(new Group(3).state(1), { kind: "campaign" });
  expect(output.records).toEqual([{ kind: "promised", ballot: ballot(1, nodeId(1)) }]);
  expect(output.release.map(({ message }) => message.kind)).toEqual([
    "phase1a",
    "phase1a",
    "phase1a",
  ]);
  expect(output.send).toEqual([]);
  expect(state.promised).toBe(ballot(1, nodeId(1)));
});

test("E1: a new ballot lies above every ballot heard of, and above every own one after a restart", () => {
  const group = campaigning();
  expect(group.promised(1)).toBe(B21);
  group.restart(1);
  group.campaign(1);
  expect(group.promised(1)).toBe(ballot(3, nodeId(1)));
});

test("P2: promises short of a quorum make no leader, repeated ones do not help", () => {
  const group = campaigning();
  promise(group, 2, []);
  promise(group, 2, []);
  expect(group.role(1)).toBe("candidate");
  promise(group, 3, []);
  expect(group.role(1)).toBe("leader");
});

test("P3: of the accepted values in a slot the one of the highest ballot is proposed again", () => {
  const group = campaigning();
  promise(group, 2, [accepted(1, B12, "older")]);
  promise(group, 3, [accepted(1, B13, "newer")]);
  expect(group.entry(1, 1)).toBe(`accepted ${B21}: newer`);
});

test("P3: a slot of which nobody in the quorum knows gets a no-op, up to the highest accepted one", () => {
  const group = campaigning();
  promise(group, 2, [accepted(3, B12, "third")]);
  promise(group, 3, []);
  expect([1, 2, 3, 4].map((at) => group.entry(1, at))).toEqual([
    `accepted ${B21}: no-op`,
    `accepted ${B21}: no-op`,
    `accepted ${B21}: third`,
    undefined,
  ]);
  group.propose(1, "fourth");
  expect(group.entry(1, 4)).toBe(`accepted ${B21}: fourth`);
});

test("P3: the leader's own unchosen slot counts like any other's", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "mine");
  group.drop();
  group.campaign(1);
  group.deliver(to(2));
  group.deliver(to(1));
  expect(group.entry(1, 1)).toBe(`accepted ${group.promised(1)}: mine`);
});

test("P4: a slot reported as chosen is learned on the spot and never proposed", () => {
  const group = campaigning();
  promise(group, 2, [{ kind: "chosen", slot: slot(1), value: value("done") }]);
  expect(group.applied(1)).toEqual(["done"]);
  expect(group.records(1)).toContainEqual({ kind: "learned", slot: 1, value: value("done") });
  promise(group, 3, [accepted(1, B12, "done")]);
  expect(group.role(1)).toBe("leader");
  expect(group.drop(ofKind("phase2a"))).toEqual([]);
  group.propose(1, "next");
  expect(group.entry(1, 2)).toBe(`accepted ${B21}: next`);
});

test("a promise in pages counts when the last page is in, and pages count once and in order", () => {
  const group = new Group(3, { pageSlots: 1 });
  group.receive(1, 3, { kind: "nack", ballot: B12, promised: B13 });
  group.campaign(1);
  group.drop();
  const page = (from: number, next: number | null, slots: readonly ReportedSlot[]): void => {
    const nextSlot = next === null ? null : slot(next);
    const range = { fromSlot: slot(from), nextSlot, truncatedUpTo: slot(0) };
    group.receive(1, 3, { kind: "phase1b", ballot: B21, ...range, slots });
  };
  page(2, null, []);
  expect(group.drop(ofKind("phase1a"))).toEqual([]);
  page(1, 2, [accepted(1, B12, "one")]);
  page(1, 2, [accepted(1, B12, "one")]);
  expect(group.role(1)).toBe("candidate");
  expect(group.drop(ofKind("phase1a")).map(({ message }) => message)).toEqual([
    { kind: "phase1a", ballot: B21, fromSlot: 2 },
  ]);
  page(2, null, [accepted(2, B12, "two")]);
  expect(group.role(1)).toBe("leader");
  expect([1, 2].map((at) => group.entry(1, at))).toEqual([
    `accepted ${B21}: one`,
    `accepted ${B21}: two`,
  ]);
});

test("a page holds at most so many slots and bytes, and at least one slot", () => {
  const group = new Group(3, { pageSlots: 2, pageBytes: 4 });
  group.elect(1);
  group.propose(1, "1234", "22", "33");
  group.deliver(to(2));
  group.drop();
  group.silence();
  const pages = [1, 2].map((from) => {
    group.receive(2, 3, { kind: "phase1a", ballot: B13, fromSlot: slot(from) });
    const [sent] = group.drop(ofKind("phase1b"));
    const message = sent?.message;
    if (message?.kind !== "phase1b") throw new Error("no promise");
    return [message.slots.map(({ slot: at }) => at), message.nextSlot];
  });
  expect(pages).toEqual([
    [[1], 2],
    [[2, 3], null],
  ]);
});

test("a lost question or page is asked for again, from where the answer broke off", () => {
  const group = new Group(3, { pageSlots: 1 });
  group.campaign(2);
  group.deliver(between(2, 3));
  group.propose(2, "one", "two");
  group.deliver(between(2, 3));
  group.drop();
  group.receive(1, 3, { kind: "nack", ballot: B12, promised: B13 });
  group.campaign(1);
  group.drop(to(2));
  group.deliver(to(3));
  const [page] = group.drop(ofKind("phase1b"));
  group.receive(1, 3, page!.message);
  group.drop();
  group.pass(20, [1]);
  const asked = group.drop(ofKind("phase1a")).map(({ to: node, message }) => [node, message]);
  expect(asked).toEqual([
    [2, { kind: "phase1a", ballot: B21, fromSlot: 1 }],
    [3, { kind: "phase1a", ballot: B21, fromSlot: 2 }],
    [2, { kind: "phase1a", ballot: B21, fromSlot: 1 }],
    [3, { kind: "phase1a", ballot: B21, fromSlot: 2 }],
  ]);
  group.receive(3, 1, { kind: "phase1a", ballot: B21, fromSlot: slot(2) });
  group.deliver(ofKind("phase1b"));
  expect(group.role(1)).toBe("leader");
});

test("a candidate refused by so many that no quorum is left gives up, and its old promises elect nobody", () => {
  const group = campaigning();
  promise(group, 2, []);
  for (const from of [3, 4, 5]) {
    expect(group.role(1)).toBe("candidate");
    group.receive(1, from, { kind: "nack", ballot: B21, promised: ballot(5, nodeId(5)) });
  }
  expect(group.role(1)).toBe("follower");
  promise(group, 3, []);
  promise(group, 4, []);
  expect(group.role(1)).toBe("follower");
});

test("a candidate whose disk hangs asks nobody again until it writes: what it would ask waits with the rest", () => {
  const group = new Group(3);
  group.campaign(1);
  group.drop();
  const asked = (logStalledMs: number): number => {
    group.nowMs += 10;
    group.tick(1, { logStalledMs });
    return group.drop(ofKind("phase1a")).length;
  };
  expect(group.role(1)).toBe("candidate");
  expect([asked(99), asked(100), asked(100_000), asked(0)]).toEqual([2, 0, 0, 2]);
});
