/** Leading: window, votes, repetition, and every way in which leading ends. */
import type { Ballot } from "../../shared/model/ids.ts";
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import type { PaxosMessage } from "../../coordinator/paxos/message.ts";
import { canPropose } from "../../coordinator/paxos/leader.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { between, Group, ofKind, to, value, type Sent } from "./support/group.ts";

const vote = (group: Group, at: number, under = group.promised(1)): PaxosMessage => ({
  kind: "phase2b",
  ballot: under,
  slot: slot(at),
});

function led(size = 3, overrides = {}): Group {
  const group = new Group(size, overrides);
  group.elect(1);
  group.drop();
  return group;
}

test("P5: the window of unchosen slots is bounded, and one chosen slot makes room for one", () => {
  const group = led(3, { windowSlots: 2 });
  group.propose(1, "one", "two");
  expect(canPropose(group.state(1))).toBe(false);
  expect(() => {
    group.propose(1, "three");
  }).toThrow(InvariantViolation);
  group.receive(1, 2, vote(group, 2));
  expect(canPropose(group.state(1))).toBe(false);
  group.receive(1, 2, vote(group, 1));
  expect(canPropose(group.state(1))).toBe(true);
});

test("S1: a slot chosen before an earlier one is applied after it", () => {
  const group = led();
  group.propose(1, "one", "two");
  group.receive(1, 2, vote(group, 2));
  expect(group.entry(1, 2)).toBe("chosen: two");
  expect(group.applied(1)).toEqual([]);
  group.receive(1, 2, vote(group, 1));
  expect(group.applied(1)).toEqual(["one", "two"]);
});

test("P7: the leader's own vote counts only when its log write has released it", () => {
  const { state: proposed, output } = step(led().state(1), { kind: "propose", value: value("v") });
  expect(output.send.map(({ message }) => message.kind)).toEqual(["phase2a", "phase2a"]);
  expect(output.release).toEqual([
    { to: 1, message: { kind: "phase2b", ballot: proposed.promised, slot: 1 } },
  ]);
  const other: PaxosMessage = { kind: "phase2b", ballot: proposed.promised, slot: slot(1) };
  const one = step(proposed, { kind: "message", from: nodeId(2), message: other });
  expect(one.output.apply).toEqual([]);
  const two = step(one.state, { kind: "message", from: nodeId(1), message: other });
  expect(two.output.apply).toHaveLength(1);
});

test("P8: votes are a set of members: repeated ones count once, those of another ballot or slot never", () => {
  const group = led(5);
  group.propose(1, "v");
  group.receive(1, 2, vote(group, 1));
  group.receive(1, 2, vote(group, 1));
  group.receive(1, 3, vote(group, 2));
  group.receive(1, 3, vote(group, 1, ballot(9, nodeId(1))));
  group.receive(1, 9, vote(group, 1));
  expect(group.applied(1)).toEqual([]);
  group.receive(1, 3, vote(group, 1));
  expect(group.applied(1)).toEqual(["v"]);
});

test("asked for a heartbeat, a leader sends it at once, and does not put off the next; others send none", () => {
  const group = led(3);
  group.drop();
  const before = beatOf(group);
  group.input(1, { kind: "beat" });
  group.input(2, { kind: "beat" });
  expect(group.wire.map(({ from, to: node, message }) => [from, node, message.kind])).toEqual([
    [1, 2, "heartbeat"],
    [1, 3, "heartbeat"],
  ]);
  expect(beatOf(group)).toEqual({ ...before, beat: before.beat + 1 });
});

function beatOf(group: Group): { readonly beat: number; readonly beatAtMs: number } {
  const { role } = group.state(1);
  if (role.kind !== "leader") throw new Error("node 1 leads");
  const { beat, beatAtMs } = role;
  return { beat, beatAtMs };
}

test("a proposal that got lost goes again, after a heartbeat, to those who have not voted", () => {
  const group = led(5);
  group.propose(1, "v");
  group.drop();
  group.receive(1, 2, vote(group, 1));
  group.pass(10, [1]);
  expect(group.drop(ofKind("phase2a")).map((sent) => sent.to)).toEqual([3, 4, 5]);
});

test("what phase 1 found is proposed before anything else, as far as the window allows", () => {
  const narrow = new Group(3, { windowSlots: 1 });
  for (const from of [1, 2, 3]) {
    for (const at of [1, 2, 3]) {
      const entry = { slot: slot(at), value: value(`v${at}`), chosenUpTo: slot(0) };
      narrow.receive(from, 3, { kind: "phase2a", ballot: ballot(1, nodeId(3)), ...entry });
    }
  }
  narrow.drop();
  narrow.campaign(2);
  narrow.deliver(ofKind("phase1a", "phase1b"));
  expect(canPropose(narrow.state(2))).toBe(false);
  expect(narrow.drop(ofKind("phase2a")).map(({ message }) => message)).toHaveLength(2);
  narrow.run(50);
  expect(narrow.applied(2)).toEqual(["v1", "v2", "v3"]);
  expect(canPropose(narrow.state(2))).toBe(true);
});

test("E3: a higher ballot, seen in any message, ends leading, and nothing more is proposed under the old one", () => {
  const higher = ballot(7, nodeId(2));
  const messages: readonly PaxosMessage[] = [
    { kind: "phase1a", ballot: higher, fromSlot: slot(1) },
    { kind: "phase2a", ballot: higher, slot: slot(1), value: value("w"), chosenUpTo: slot(0) },
    { kind: "heartbeat", ballot: higher, beat: 1, chosenUpTo: slot(0) },
    { kind: "nack", ballot: ballot(1, nodeId(1)), promised: higher },
  ];
  for (const message of messages) {
    const group = led();
    group.run(20);
    group.silence();
    for (const from of message.kind === "nack" ? [2, 3] : [2]) group.receive(1, from, message);
    expect(group.role(1)).toBe("follower");
    group.drop();
    group.pass(50, [1]);
    expect(group.wire.filter(ofKind("phase2a", "heartbeat"))).toEqual([]);
  }
});

test("nacks to an earlier ballot, or over and over from a node that leaves a quorum, depose nobody", () => {
  const group = led();
  group.run(20);
  const nack = (from: number, under: Ballot): void => {
    group.receive(1, from, { kind: "nack", ballot: under, promised: ballot(7, nodeId(3)) });
  };
  nack(2, ballot(1, nodeId(2)));
  nack(3, group.promised(1));
  nack(3, group.promised(1));
  expect(group.role(1)).toBe("leader");
  nack(2, group.promised(1));
  expect(group.role(1)).toBe("follower");
});

test("a leader that has just begun takes a nack as a reason to ask for everyone's vote anew, at once", () => {
  const group = new Group(3);
  group.pass(10);
  group.receive(3, 2, { kind: "phase1a", ballot: ballot(7, nodeId(2)), fromSlot: slot(1) });
  group.drop();
  group.campaign(1);
  group.deliver(between(1, 2));
  expect(group.role(1)).toBe("leader");
  group.deliver();
  expect(group.role(1)).toBe("follower");
  group.run(10);
  expect(group.leader()).toBe(1);
  expect([1, 2, 3].map((node) => group.promised(node))).toEqual(
    Array(3).fill(ballot(8, nodeId(1))),
  );
});

test("a leader that hears no quorum for an election timeout steps down; heartbeat answers keep it", () => {
  const group = led();
  group.run(500, between(1, 2));
  expect(group.role(1)).toBe("leader");
  group.run(90, () => false);
  expect(group.role(1)).toBe("leader");
  group.run(20, () => false);
  expect(group.role(1)).toBe("prober");
});

test("a leader whose log writes nothing for an election timeout steps down, and does not campaign meanwhile", () => {
  const group = led();
  group.nowMs += 10;
  group.tick(1, { logStalledMs: 99 });
  expect(group.role(1)).toBe("leader");
  group.tick(1, { logStalledMs: 100 });
  expect(group.role(1)).toBe("follower");
  group.nowMs += 10_000;
  group.tick(1, { logStalledMs: 10_000 });
  expect(group.role(1)).toBe("follower");
  group.tick(1, { logStalledMs: 0 });
  expect(group.role(1)).toBe("prober");
});

test("a leader that learns of another value in a slot it proposed was replaced: it steps down", () => {
  const group = led(5);
  group.propose(1, "mine");
  const slots = [{ slot: slot(1), value: value("theirs") }];
  group.receive(1, 2, { kind: "learnReply", slots, chosenUpTo: slot(1) });
  expect(group.role(1)).toBe("follower");
  expect(group.applied(1)).toEqual(["theirs"]);
});

test("a leader that learns of a slot it never proposed was replaced: it steps down and proposes nothing there", () => {
  const group = led();
  const slots = [{ slot: slot(1), value: value("theirs") }];
  group.receive(1, 2, { kind: "learnReply", slots, chosenUpTo: slot(1) });
  expect(group.role(1)).toBe("follower");
  expect(canPropose(group.state(1))).toBe(false);
});

test("a leader that learns what it proposed itself goes on, without counting that slot any more", () => {
  const group = led();
  group.propose(1, "one", "two");
  const slots = [{ slot: slot(1), value: value("one") }];
  group.receive(1, 2, { kind: "learnReply", slots, chosenUpTo: slot(1) });
  expect(group.role(1)).toBe("leader");
  expect(group.applied(1)).toEqual(["one"]);
  group.receive(1, 2, vote(group, 1));
  group.receive(1, 2, vote(group, 2));
  expect(group.applied(1)).toEqual(["one", "two"]);
});

test("a leader that learns a slot which phase 1 found goes on and skips it", () => {
  const group = new Group(3, { windowSlots: 1 });
  for (const at of [1, 2]) {
    const entry = { slot: slot(at), value: value(`v${at}`), chosenUpTo: slot(0) };
    group.receive(3, 2, { kind: "phase2a", ballot: ballot(1, nodeId(2)), ...entry });
  }
  group.drop();
  group.receive(1, 3, {
    kind: "nack",
    ballot: ballot(1, nodeId(1)),
    promised: ballot(1, nodeId(2)),
  });
  group.campaign(1);
  group.deliver(to(3));
  group.deliver(ofKind("phase1b"));
  expect(group.role(1)).toBe("leader");
  const slots = [{ slot: slot(2), value: value("v2") }];
  group.receive(1, 2, { kind: "learnReply", slots, chosenUpTo: slot(0) });
  expect(group.role(1)).toBe("leader");
  group.run(50);
  expect(group.applied(1)).toEqual(["v1", "v2"]);
  group.propose(1, "v3");
  group.deliver();
  expect(group.applied(1)).toEqual(["v1", "v2", "v3"]);
});

test("P4: a leader goes on above the slots that it learned and cut off before it came to them", () => {
  const group = new Group(3, { windowSlots: 4, trailingSlots: 0 });
  group.elect(2);
  // Node 3 accepts four slots and is never told that they are chosen; then four more, under another ballot.
  const [settled, open] = [
    ["a", "b", "c", "d"],
    ["e", "f", "g", "h"],
  ];
  group.propose(2, ...settled);
  group.deliver(to(3));
  group.deliver(to(2));
  group.drop();
  const withoutNews = (sent: Sent): boolean => between(2, 3)(sent) && !ofKind("learnRequest")(sent);
  group.campaign(2);
  group.deliver(withoutNews);
  group.drop();
  for (const each of open) {
    group.propose(2, each);
    group.deliver(withoutNews);
    group.drop();
  }
  group.receive(2, 1, { kind: "learnRequest", fromSlot: slot(1) });
  const [late] = group.drop(ofKind("learnReply"));
  if (late === undefined) throw new Error("node 2 knows what node 1 asks for");
  const silent = (sent: Sent): boolean =>
    between(1, 3)(sent) && !ofKind("phase2a", "learnReply")(sent);
  while (group.role(1) !== "leader") {
    group.campaign(1);
    group.deliver(silent);
  }
  group.receive(1, 2, late.message);
  expect([group.role(1), group.state(1).chosenUpTo]).toEqual(["leader", 8]);
  group.snapshot(1);
  group.nowMs += 10;
  group.tick(1);
  group.propose(1, "i");
  expect(group.entry(1, 9)).toBe(`accepted ${group.promised(1)}: i`);
});
