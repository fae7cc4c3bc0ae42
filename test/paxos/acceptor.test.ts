/** The acceptor's rules, one by one. */
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import type { PaxosMessage } from "../../coordinator/paxos/message.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { between, Group, ofKind, to, value } from "./support/group.ts";

const B11 = ballot(1, nodeId(1));
const B22 = ballot(2, nodeId(2));
const B33 = ballot(3, nodeId(3));

const phase1a = (of = B22): PaxosMessage => ({ kind: "phase1a", ballot: of, fromSlot: slot(1) });
const phase2a = (of: typeof B11, at: number, text: string): PaxosMessage => ({
  kind: "phase2a",
  ballot: of,
  slot: slot(at),
  value: value(text),
  chosenUpTo: slot(0),
});

test("A1: a promise is never taken back: lower ballots get a nack that names it", () => {
  const group = new Group(3);
  group.receive(3, 2, phase1a(B22));
  group.drop();
  group.receive(3, 1, phase1a(B11));
  group.receive(3, 1, phase2a(B11, 1, "late"));
  expect(group.promised(3)).toBe(B22);
  expect(group.entry(3, 1)).toBeUndefined();
  expect(group.wire.map(({ message }) => message)).toEqual([
    { kind: "nack", ballot: B11, promised: B22 },
    { kind: "nack", ballot: B11, promised: B22 },
  ]);
});

test("A2: accepting raises the promise, and needs no record of its own to survive", () => {
  const group = new Group(3);
  group.receive(3, 2, phase2a(B22, 1, "v"));
  expect(group.promised(3)).toBe(B22);
  group.restart(3);
  expect(group.promised(3)).toBe(B22);
  expect(group.entry(3, 1)).toBe(`accepted ${B22}: v`);
});

test("A3: a higher ballot replaces what a slot holds, the same ballot repeats its vote without a new record", () => {
  const group = new Group(3);
  group.receive(3, 1, phase2a(B11, 1, "old"));
  group.receive(3, 2, phase2a(B22, 1, "new"));
  expect(group.entry(3, 1)).toBe(`accepted ${B22}: new`);
  const written = group.records(3).length;
  group.drop();
  group.receive(3, 2, phase2a(B22, 1, "new"));
  expect(group.records(3)).toHaveLength(written);
  expect(group.drop(ofKind("phase2b"))).toHaveLength(1);
});

test("A7: what lies too far beyond the known chosen slots gets no vote and no record, but its leader is followed", () => {
  const group = new Group(3, { windowSlots: 2, acceptAheadSlots: 2 });
  group.receive(3, 1, phase2a(B11, 2, "near"));
  group.receive(3, 1, phase2a(B11, 3, "far"));
  expect([group.entry(3, 2), group.entry(3, 3)]).toEqual([`accepted ${B11}: near`, undefined]);
  expect(group.drop(ofKind("phase2b"))).toHaveLength(1);
  expect(group.state(3).heardLeader).toMatchObject({ node: 1, ballot: B11 });
});

test("A7: the same proposal gets a vote when it says itself that enough is chosen", () => {
  const group = new Group(3, { windowSlots: 2, acceptAheadSlots: 2 });
  group.receive(3, 1, phase2a(B11, 1, "one"));
  group.receive(3, 1, phase2a(B11, 3, "three"));
  expect(group.entry(3, 3)).toBeUndefined();
  group.receive(3, 1, { ...phase2a(B11, 3, "three"), chosenUpTo: slot(1) } as PaxosMessage);
  expect(group.entry(3, 3)).toBe(`accepted ${B11}: three`);
});

test("A7: a leader that needs the vote of a node far behind gets it, when that has caught up", () => {
  const group = new Group(3, { windowSlots: 2, acceptAheadSlots: 2 });
  group.campaign(1);
  group.deliver(between(1, 2));
  for (const text of ["one", "two", "three", "four"]) {
    group.propose(1, text);
    group.deliver(between(1, 2));
  }
  group.drop();
  group.propose(1, "five");
  group.deliver(between(1, 3));
  expect(group.entry(3, 5)).toBeUndefined();
  group.run(30, between(1, 3));
  expect(group.applied(3)).toEqual(["one", "two", "three", "four", "five"]);
});

test("A4: a promise and a vote are released, never sent: they wait for their records", () => {
  const state = new Group(3).state(3);
  const promise = step(state, { kind: "message", from: nodeId(2), message: phase1a() });
  expect(promise.output.records).toEqual([{ kind: "promised", ballot: B22 }]);
  expect(promise.output.release.map(({ message }) => message.kind)).toEqual(["phase1b"]);
  expect(promise.output.send).toEqual([]);
  const vote = step(state, { kind: "message", from: nodeId(2), message: phase2a(B22, 1, "v") });
  expect(vote.output.records.map(({ kind }) => kind)).toEqual(["accepted"]);
  expect(vote.output.release.map(({ message }) => message.kind)).toEqual(["phase2b"]);
  expect(vote.output.send).toEqual([]);
});

test("A5: a promise reports every slot from the asked one on, chosen ones as chosen", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "one", "two", "three");
  group.deliver(to(2, 3));
  group.deliver(ofKind("phase2b"));
  group.propose(1, "four");
  group.deliver();
  group.silence();
  group.receive(3, 2, { kind: "phase1a", ballot: B22, fromSlot: slot(3) });
  const [reply] = group.drop(ofKind("phase1b"));
  expect(reply?.message).toMatchObject({
    fromSlot: 3,
    nextSlot: null,
    slots: [
      { kind: "chosen", slot: 3, value: value("three") },
      { kind: "accepted", slot: 4, ballot: B11, value: value("four") },
    ],
  });
});

test("a promise repeated for the same ballot reports anew and writes nothing", () => {
  const group = new Group(3);
  group.receive(3, 2, phase1a(B22));
  const written = group.records(3).length;
  group.receive(3, 2, phase1a(B22));
  expect(group.records(3)).toHaveLength(written);
  expect(group.drop(ofKind("phase1b"))).toHaveLength(2);
});

test("P1: two values under one ballot in one slot stop the node", () => {
  const group = new Group(3);
  group.receive(3, 2, phase2a(B22, 1, "one"));
  expect(() => {
    group.receive(3, 2, phase2a(B22, 1, "other"));
  }).toThrow(InvariantViolation);
});

test("a late proposal that contradicts a learned slot is not accepted: its leader is told what was chosen", () => {
  const group = new Group(5);
  const slots = [{ slot: slot(1), value: value("chosen") }];
  group.receive(5, 2, { kind: "learnReply", slots, chosenUpTo: slot(1) });
  group.receive(5, 1, phase2a(B11, 1, "late"));
  expect(group.entry(5, 1)).toBe("chosen: chosen");
  expect(group.wire).toEqual([
    { from: 5, to: 1, message: { kind: "learnReply", slots, chosenUpTo: 1 } },
  ]);
});

test("a later proposal of the chosen value is voted for, and the slot stays chosen", () => {
  const group = new Group(3);
  const slots = [{ slot: slot(1), value: value("v") }];
  group.receive(3, 2, { kind: "learnReply", slots, chosenUpTo: slot(1) });
  group.receive(3, 2, phase2a(B33, 1, "v"));
  expect(group.entry(3, 1)).toBe("chosen: v");
  expect(group.promised(3)).toBe(B33);
  expect(group.drop(ofKind("phase2b"))).toHaveLength(1);
  group.restart(3);
  expect(group.entry(3, 1)).toBe("chosen: v");
  expect(group.promised(3)).toBe(B33);
});

test("a proposal of a chosen value that comes again is voted for again, and written once", () => {
  const group = new Group(3);
  const repeatedly = (of: typeof B11): readonly number[] => {
    const before = group.records(3).length;
    for (let times = 0; times < 100; times += 1) group.receive(3, 1, phase2a(of, 1, "v"));
    return [group.records(3).length - before, group.drop(ofKind("phase2b")).length];
  };
  expect(repeatedly(B11)).toEqual([1, 100]);
  group.receive(3, 1, {
    ...{ kind: "learnReply", chosenUpTo: slot(1) },
    slots: [{ slot: slot(1), value: value("v") }],
  });
  expect(group.entry(3, 1)).toBe("chosen: v");
  expect(repeatedly(B11)).toEqual([0, 100]);
  expect(repeatedly(B22).slice(1)).toEqual([100]);
  const written = group.records(3).filter(({ kind }) => kind === "accepted");
  expect(written).toHaveLength(2);
  group.restart(3);
  expect(repeatedly(B22)).toEqual([0, 100]);
});

test("P1: a chosen slot whose value was accepted otherwise remembers no vote of this node for it", () => {
  const group = new Group(3);
  group.receive(3, 1, phase2a(B11, 1, "in vain"));
  const slots = [{ slot: slot(1), value: value("v") }];
  group.receive(3, 2, { kind: "learnReply", slots, chosenUpTo: slot(1) });
  expect(group.state(3).log.get(slot(1))).toMatchObject({ kind: "chosen", acceptedUnder: 0 });
  group.restart(3);
  expect(group.state(3).log.get(slot(1))).toMatchObject({ kind: "chosen", acceptedUnder: 0 });
});

test("messages of a node that is no member are not heard", () => {
  const group = new Group(3);
  group.receive(3, 9, phase1a(ballot(9, nodeId(9))));
  expect(group.promised(3)).toBe(0);
  expect(group.wire).toEqual([]);
});
