/** Who leads: probes that disturb nobody, timeouts that differ, and groups of every size. */
import { canPropose } from "../../coordinator/paxos/leader.ts";
import type { PaxosMessage } from "../../coordinator/paxos/message.ts";
import { recover } from "../../coordinator/paxos/recover.ts";
import { slot } from "../../shared/model/ids.ts";
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
