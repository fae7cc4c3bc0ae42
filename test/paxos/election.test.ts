/** Who leads: probes that disturb nobody, timeouts that differ, and groups of every size. */
import { canPropose } from "../../coordinator/paxos/leader.ts";
import type { Envelope, PaxosMessage } from "../../coordinator/paxos/message.ts";
import { recover } from "../../coordinator/paxos/recover.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { between, configOf, Group, ofKind, type Sent } from "./support/group.ts";

const probe: PaxosMessage = { kind: "probe", attempt: 1 };

function grants(group: Group): readonly boolean[] {
  return group
    .drop(ofKind("probeReply"))
    .map(({ message }) => message.kind === "probeReply" && message.granted);
}

test("a group without a leader elects one by itself, and keeps it while it lives", () => {
  const group = new Group(3);
  group.run(500);
  const leader = group.leader();
  const promised = group.promised(leader);
  group.run(2_000);
  expect(group.leader()).toBe(leader);
  expect(group.promised(leader)).toBe(promised);
});

test("a probe raises no ballot, and is denied while a leader lives and granted when it is silent", () => {
  const group = new Group(3);
  group.pass(10);
  group.elect(1);
  group.drop();
  const before = group.promised(2);
  group.receive(2, 3, probe);
  group.receive(1, 3, probe);
  expect(grants(group)).toEqual([false, false]);
  group.nowMs += 99;
  group.tick(2);
  group.receive(2, 3, probe);
  expect(grants(group)).toEqual([false]);
  group.nowMs += 1;
  group.tick(2);
  group.receive(2, 3, probe);
  expect(grants(group)).toEqual([true]);
  expect(group.promised(2)).toBe(before);
});

test("a node that does not hear the leader, but is heard, disturbs nobody", () => {
  const group = new Group(3);
  group.elect(1);
  const promised = group.promised(1);
  group.run(3_000, ({ from, to }: Sent) => !(from === 1 && to === 3));
  expect(group.leader()).toBe(1);
  expect(group.promised(1)).toBe(promised);
});

test("a grant of an earlier attempt is not counted for a later one", () => {
  const group = new Group(3);
  group.pass(110, [1]);
  expect(group.role(1)).toBe("prober");
  group.pass(110, [1]);
  expect(group.state(1).probeAttempt).toBe(2);
  const reply = { kind: "probeReply", granted: true, promised: group.promised(2) } as const;
  group.receive(1, 2, { ...reply, attempt: 1 });
  expect(group.role(1)).toBe("prober");
  group.receive(1, 2, { ...reply, attempt: 2 });
  expect(group.role(1)).toBe("candidate");
});

test("a prober that hears a leader follows it", () => {
  const group = new Group(3);
  group.pass(110, [1]);
  group.drop();
  expect(group.role(1)).toBe("prober");
  group.elect(2);
  expect(group.role(1)).toBe("follower");
  expect(group.state(1).heardLeader?.node).toBe(2);
});

test("when the leader dies another leads within three election timeouts and keeps what was chosen", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "kept");
  group.deliver();
  group.run(300, between(2, 3));
  const leader = [2, 3].find((node) => group.role(node) === "leader");
  expect(leader).toBeDefined();
  expect(canPropose(group.state(leader ?? 0))).toBe(true);
  expect(group.applied(leader ?? 0)).toEqual(["kept"]);
  group.run(200);
  expect(group.role(1)).toBe("follower");
});

test("a lost connection to the leader brings the election forward; one to another node changes nothing", () => {
  const group = new Group(3);
  group.run(300);
  const leader = group.leader();
  const [follower] = [1, 2, 3].filter((node) => node !== leader);
  const deadline = (): number => group.state(follower ?? 0).electionDeadlineMs;
  const before = deadline();
  const other = [1, 2, 3].find((node) => node !== leader && node !== follower);
  group.input(follower ?? 0, { kind: "peerLost", node: other as never });
  expect(deadline()).toBe(before);
  group.input(follower ?? 0, { kind: "peerLost", node: leader as never });
  expect(deadline()).toBeLessThanOrEqual(group.nowMs + 20);
  group.receive(follower ?? 0, other ?? 0, probe);
  expect(grants(group)).toEqual([true]);
});

test("a single node leads itself and chooses with its own durable vote", () => {
  const group = new Group(1);
  group.run(200);
  expect(group.leader()).toBe(1);
  group.propose(1, "alone");
  expect(group.applied(1)).toEqual(["alone"]);
  expect(group.records(1).map(({ kind }) => kind)).toEqual(["promised", "accepted"]);
});

test("five nodes decide with two gone, and decide nothing with three gone", () => {
  const group = new Group(5);
  group.elect(1);
  group.propose(1, "with two gone");
  group.run(50, between(1, 2, 3));
  expect(group.applied(2)).toEqual(["with two gone"]);
  group.propose(1, "with three gone");
  group.run(500, between(1, 2));
  expect(group.applied(1)).toEqual(["with two gone"]);
  expect([1, 2].map((node) => group.role(node))).not.toContain("leader");
  group.run(600);
  expect(group.applied(group.leader())).toEqual(["with two gone", "with three gone"]);
});

test("G3: quorums of unequal size must intersect, and each is used in its own phase", () => {
  const quorums = { phase1Quorum: 3, phase2Quorum: 2 };
  expect(() => recover(configOf(1, 4, { phase1Quorum: 2, phase2Quorum: 2 }), [])).toThrow(/G3/);
  const group = new Group(4, quorums);
  group.campaign(1);
  group.deliver(between(1, 2));
  expect(group.role(1)).toBe("candidate");
  group.deliver(between(1, 3));
  expect(group.role(1)).toBe("leader");
  group.propose(1, "v");
  group.deliver(between(1, 2));
  expect(group.applied(1)).toEqual(["v"]);
  expect(group.state(1).chosenUpTo).toBe(slot(1));
});

test("whoever hears a leader promises nobody else's ballot, and neither does a leader that is answered", () => {
  const group = new Group(3);
  group.run(500);
  const leader = group.leader();
  const [one, another] = [1, 2, 3].filter((node) => node !== leader) as [number, number];
  const campaign = { kind: "phase1a", ballot: ballot(9, nodeId(one)), fromSlot: slot(1) } as const;
  for (const asked of [leader, another]) {
    group.receive(asked, one, campaign);
    expect(group.drop(ofKind("phase1b", "nack")).map(({ message }) => message.kind)).toEqual([
      "nack",
    ]);
  }
  expect(group.leader()).toBe(leader);
  group.nowMs += 100;
  group.tick(another);
  group.receive(another, one, campaign);
  expect(group.drop(ofKind("phase1b"))).toHaveLength(1);
});

test("a leader that campaigns anew leads no more: those who heard it promise", () => {
  const group = new Group(3);
  group.elect(1);
  const campaign = { kind: "phase1a", ballot: ballot(9, nodeId(1)), fromSlot: slot(1) } as const;
  group.receive(2, 1, campaign);
  expect(group.drop(ofKind("phase1b"))).toHaveLength(1);
});

test("a prober asks again after a heartbeat, and a refusal takes an earlier grant back", () => {
  const group = new Group(5);
  group.pass(110, [1]);
  const reply = { kind: "probeReply", attempt: 1, promised: group.promised(1) } as const;
  group.receive(1, 2, { ...reply, granted: true });
  group.receive(1, 2, { ...reply, granted: false });
  group.receive(1, 3, { ...reply, granted: true });
  expect(group.role(1)).toBe("prober");
  group.drop();
  group.pass(10, [1]);
  expect(group.drop(ofKind("probe")).map(({ to: asked, message }) => [asked, message])).toEqual(
    [2, 3, 4, 5].map((asked) => [asked, probe]),
  );
  group.receive(1, 2, { ...reply, granted: true });
  expect(group.role(1)).toBe("candidate");
});

test("a prober whose log writes nothing asks nobody again", () => {
  const group = new Group(3);
  group.pass(110, [1]);
  group.drop();
  group.nowMs += 10;
  group.tick(1, { logStalledMs: 100 });
  expect(group.wire).toEqual([]);
});

test("a prober that promises another's ballot asks no more", () => {
  const group = new Group(3);
  group.pass(110, [1]);
  group.receive(1, 2, { kind: "phase1a", ballot: ballot(9, nodeId(2)), fromSlot: slot(1) });
  expect(group.role(1)).toBe("follower");
});

test("a leader without a quorum asks around at once, and its followers grant from then on", () => {
  const group = new Group(5);
  group.elect(1);
  group.run(50);
  group.run(110, ({ from, to: target }) => target !== 1 && (from === 1 || target === from));
  expect(group.role(1)).toBe("prober");
  group.drop();
  group.receive(2, 3, probe);
  expect(grants(group)).toEqual([true]);
});

test("having promised more than the leader's ballot, a node follows and learns, but answers and votes nothing", () => {
  const group = new Group(3);
  group.receive(3, 2, { kind: "phase1a", ballot: ballot(9, nodeId(2)), fromSlot: slot(1) });
  group.drop();
  group.campaign(1);
  group.deliver(between(1, 2));
  group.propose(1, "v");
  group.run(500);
  expect(group.leader()).toBe(1);
  expect(group.promised(1)).toBeLessThan(group.promised(3));
  expect(group.state(3).heardLeader?.node).toBe(1);
  expect(group.applied(3)).toEqual(["v"]);
  expect(group.records(3).map(({ kind }) => kind)).toEqual(["promised", "learned", "chosenUpTo"]);
  const beat = { ballot: group.promised(1), beat: 99, chosenUpTo: slot(1) };
  group.receive(3, 1, { kind: "heartbeat", ...beat });
  expect(group.drop().map(({ message }) => message.kind)).toEqual(["nack"]);
});

test("its vote comes back with the next ballot, when the leader cannot do without it", () => {
  const group = new Group(3);
  group.receive(3, 2, { kind: "phase1a", ballot: ballot(9, nodeId(2)), fromSlot: slot(1) });
  group.drop();
  group.campaign(1);
  group.deliver(between(1, 2));
  group.run(100);
  group.run(300, between(1, 3));
  const leader = [1, 3].find((node) => group.role(node) === "leader");
  expect(group.promised(leader ?? 0)).toBeGreaterThan(ballot(9, nodeId(2)));
});

test("L11: neither the answer to a heartbeat nor a grant leaves before what was written is durable", () => {
  const { state } = recover(configOf(2, 3), []);
  const [leader, other] = [nodeId(1), nodeId(3)];
  const beat = {
    kind: "heartbeat",
    ballot: ballot(1, leader),
    beat: 1,
    chosenUpTo: slot(0),
  } as const;
  const followed = step(state, { kind: "message", from: leader, message: beat });
  const granted = step(state, { kind: "message", from: other, message: probe });
  const kinds = (envelopes: readonly Envelope[]): unknown[] =>
    envelopes.map(({ message }) => message.kind);
  expect(kinds(followed.output.release)).toEqual(["heartbeatReply"]);
  expect(kinds(granted.output.release)).toEqual(["probeReply"]);
  expect([...followed.output.send, ...granted.output.send]).toEqual([]);
});
