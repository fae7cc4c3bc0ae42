/** Which slots a node takes for chosen, and how one that missed some catches up. */
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import type { PaxosMessage } from "../../coordinator/paxos/message.ts";
import { between, Group, ofKind, to, value } from "./support/group.ts";

const B11 = ballot(1, nodeId(1));
const B22 = ballot(2, nodeId(2));

const heartbeat = (upTo: number, under = B11): PaxosMessage => ({
  kind: "heartbeat",
  ballot: under,
  beat: 1,
  chosenUpTo: slot(upTo),
});
const learnReply = (
  upTo: number,
  ...slots: readonly (readonly [number, string])[]
): PaxosMessage => ({
  kind: "learnReply",
  slots: slots.map(([at, text]) => ({ slot: slot(at), value: value(text) })),
  chosenUpTo: slot(upTo),
});

/** Node 1 leads and has chosen three slots with node 2; node 3 has heard nothing. */
function behind(overrides = {}): Group {
  const group = new Group(3, overrides);
  group.campaign(1);
  group.deliver(between(1, 2));
  group.propose(1, "one", "two", "three");
  group.deliver(between(1, 2));
  group.drop();
  return group;
}

test("C5: a follower takes its leader's word for a slot that it accepted under the very same ballot", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "one", "two");
  group.deliver(to(2, 3));
  group.receive(3, 1, heartbeat(1));
  expect(group.applied(3)).toEqual(["one"]);
  expect(group.entry(3, 2)).toBe(`accepted ${B11}: two`);
});

test("C5: a slot accepted under another ballot is fetched, not believed", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "minority");
  group.deliver(to(3));
  group.drop();
  group.receive(3, 2, heartbeat(1, B22));
  expect(group.applied(3)).toEqual([]);
  expect(group.drop(ofKind("learnRequest"))).toEqual([
    { from: 3, to: 2, message: { kind: "learnRequest", fromSlot: 1 } },
  ]);
  group.receive(3, 2, learnReply(1, [1, "chosen"]));
  expect(group.applied(3)).toEqual(["chosen"]);
});

test("S1: learned slots are applied in order, once, without gaps", () => {
  const group = new Group(3);
  group.receive(3, 2, learnReply(3, [2, "two"], [3, "three"]));
  expect(group.applied(3)).toEqual([]);
  group.receive(3, 2, learnReply(3, [1, "one"]));
  group.receive(3, 1, learnReply(3, [1, "one"], [2, "two"]));
  expect(group.applied(3)).toEqual(["one", "two", "three"]);
});

test("C1: a peer that knows another value for a chosen slot stops the node", () => {
  const group = new Group(3);
  group.receive(3, 2, learnReply(1, [1, "one"]));
  expect(() => {
    group.receive(3, 1, learnReply(1, [1, "other"]));
  }).toThrow(InvariantViolation);
});

test("catch-up comes in pages, each asked for when the one before is in", () => {
  const group = behind({ pageSlots: 1 });
  group.receive(3, 1, heartbeat(3));
  const asked: unknown[] = [];
  for (;;) {
    const [request] = group.drop(ofKind("learnRequest"));
    if (request === undefined) break;
    asked.push(request.message);
    group.receive(1, 3, request.message);
    group.deliver(to(3));
  }
  expect(asked).toEqual([1, 2, 3].map((fromSlot) => ({ kind: "learnRequest", fromSlot })));
  expect(group.applied(3)).toEqual(["one", "two", "three"]);
  expect(group.state(3).catchUp).toBeUndefined();
});

test("catch-up that gets no answer goes on with the next peer, and any peer can answer", () => {
  const group = behind();
  group.deliver();
  group.run(10);
  group.restart(3, 0);
  group.receive(3, 1, heartbeat(3));
  expect(group.drop(ofKind("learnRequest")).map((sent) => sent.to)).toEqual([1]);
  group.pass(10, [3]);
  expect(group.wire.filter(ofKind("learnRequest")).map((sent) => sent.to)).toEqual([2]);
  group.deliver(between(2, 3));
  expect(group.applied(3)).toEqual(["one", "two", "three"]);
});

test("one catch-up is on its way at a time; hearing of more only raises its goal", () => {
  const group = behind();
  group.receive(3, 1, heartbeat(2));
  group.receive(3, 1, heartbeat(3));
  expect(group.drop(ofKind("learnRequest"))).toHaveLength(1);
  expect(group.state(3).catchUp?.upTo).toBe(3);
});

test("a peer that knows no more than the one who asks says nothing", () => {
  const group = behind();
  group.receive(3, 2, { kind: "learnRequest", fromSlot: slot(1) });
  group.receive(1, 2, { kind: "learnRequest", fromSlot: slot(4) });
  expect(group.wire).toEqual([]);
});

test("what was learned is durable before the node builds on it after a restart", () => {
  const group = new Group(3);
  group.receive(3, 2, learnReply(2, [1, "one"], [2, "two"]));
  group.restart(3);
  expect(group.applied(3)).toEqual(["one", "two"]);
});

test("C3: what is chosen is noted in the log with the next record, and never sooner than known", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "one");
  group.deliver();
  expect(group.records(1).map(({ kind }) => kind)).not.toContain("chosenUpTo");
  group.propose(1, "two");
  expect(group.records(1).at(-1)).toEqual({ kind: "chosenUpTo", slot: 1 });
  group.restart(1);
  expect(group.applied(1)).toEqual(["one"]);
  expect(group.entry(1, 2)).toBe(`accepted ${B11}: two`);
});
