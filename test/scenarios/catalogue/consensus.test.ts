/** Rows of ../CATALOGUE.md that the core alone decides, where no test beside the core holds them already. */
import type { PaxosMessage } from "../../../coordinator/paxos/message.ts";
import { ballot, nodeId, slot } from "../../../shared/model/ids.ts";
import { between, Group, ofKind, to, value, type Sent } from "../../paxos/support/group.ts";

/** What the slowest reader of a bound may call four election timeouts; groups here wait 100 ms. */
const FOUR_TIMEOUTS_MS = 400;

const vote = (at: number, under: number, owner = 1): PaxosMessage => ({
  kind: "phase2b",
  ballot: ballot(under, nodeId(owner)),
  slot: slot(at),
});

const leaders = (group: Group, size: number): readonly number[] =>
  Array.from({ length: size }, (_, index) => index + 1).filter(
    (node) => group.role(node) === "leader",
  );

test("#10 copies of an older ballot on a majority make nothing chosen (logcabin#44)", () => {
  const group = new Group(5);
  group.elect(1);
  group.propose(1, "x");
  group.deliver(to(2));
  group.drop();
  group.campaign(1);
  group.deliver(ofKind("phase1a", "phase1b"));
  group.drop(to(2, 4, 5));
  group.deliver(to(1, 3));
  expect([1, 2, 3].map((node) => group.entry(node, 1))).toEqual([
    `accepted ${ballot(2, nodeId(1))}: x`,
    `accepted ${ballot(1, nodeId(1))}: x`,
    `accepted ${ballot(2, nodeId(1))}: x`,
  ]);
  group.receive(1, 2, vote(1, 1));
  expect(group.applied(1)).toEqual([]);
  group.receive(1, 2, vote(1, 2));
  expect(group.applied(1)).toEqual(["x"]);
});

test("#11 a leader that becomes a follower keeps what it accepted and reports it (CCF#5674)", () => {
  const group = new Group(3);
  group.elect(1);
  group.propose(1, "chosen");
  group.deliver();
  group.propose(1, "open");
  group.drop();
  group.receive(1, 2, {
    kind: "heartbeat",
    ballot: ballot(5, nodeId(2)),
    beat: 1,
    chosenUpTo: slot(0),
  });
  expect(group.role(1)).toBe("follower");
  expect([1, 2].map((at) => group.entry(1, at))).toEqual([
    "chosen: chosen",
    `accepted ${ballot(1, nodeId(1))}: open`,
  ]);
  group.drop();
  group.campaign(2);
  group.deliver(between(1, 2));
  expect(group.applied(2)).toEqual(["chosen", "open"]);
});

test("#17 a node that promised above a living leader while it was away does not stay shut out (etcd#8501, etcd#9586)", () => {
  const group = new Group(3);
  group.elect(1);
  group.drop();
  group.campaign(3);
  group.drop();
  group.restart(3);
  expect(group.promised(3)).toBeGreaterThan(group.promised(1));
  group.run(FOUR_TIMEOUTS_MS);
  const leader = group.leader();
  group.propose(leader, "for all");
  group.run(50);
  expect([1, 2, 3].map((node) => group.applied(node))).toEqual([
    ["for all"],
    ["for all"],
    ["for all"],
  ]);
});

test("#18 in a chain the ends depose nobody whom the middle hears, and ballots come to rest (omnipaxos#1)", () => {
  const inChain = ({ from, to: target }: Sent): boolean => Math.abs(from - target) === 1;
  for (const first of [1, 2, 3]) {
    const group = new Group(3);
    group.elect(first);
    group.run(FOUR_TIMEOUTS_MS, inChain);
    const [leader, ...others] = leaders(group, 3);
    expect(others).toEqual([]);
    const promised = group.promised(2);
    group.run(5_000, inChain);
    expect(leaders(group, 3)).toEqual([leader]);
    expect(group.promised(2)).toBe(promised);
  }
});

test("#20 an idle leader that can send but hears nobody steps down, and another leads (tigerbeetle#3528, #476)", () => {
  const group = new Group(3);
  group.elect(1);
  group.run(FOUR_TIMEOUTS_MS, (sent) => sent.to !== 1);
  expect(group.role(1)).not.toBe("leader");
  expect(leaders(group, 3)).toHaveLength(1);
});

/** Nodes 1 and 2 have chosen and truncated two slots; node 3 holds other values there and above, under a ballot of its own. */
function conflicting(): Group {
  const group = new Group(3, { trailingSlots: 0 });
  const mine = { ballot: ballot(1, nodeId(3)), chosenUpTo: slot(0), kind: "phase2a" } as const;
  for (const at of [1, 2, 3]) {
    group.receive(3, 3, { ...mine, slot: slot(at), value: value(`mine ${at}`) });
  }
  group.drop();
  group.campaign(1);
  group.receive(1, 3, { kind: "nack", ballot: mine.ballot, promised: mine.ballot });
  group.campaign(1);
  group.deliver(between(1, 2));
  group.propose(1, "one", "two");
  group.run(20, between(1, 2));
  group.snapshot(1);
  group.snapshot(2);
  return group;
}

/** The node wants a snapshot from whoever leads. */
function wanting(): Group {
  const group = conflicting();
  group.run(30);
  expect(group.fetched(3)).toEqual({ peer: 1, slot: 2 });
  return group;
}

test("#22 a snapshot that meets a conflicting tail is installed once, and the tail is decided as ever (hashicorp/raft PR#704)", () => {
  const group = wanting();
  group.install(3, 2);
  expect(group.applied(3)).toEqual(["snapshot 2"]);
  expect([1, 2, 3].map((at) => group.entry(3, at))).toEqual([
    undefined,
    undefined,
    `accepted ${ballot(1, nodeId(3))}: mine 3`,
  ]);
  group.run(FOUR_TIMEOUTS_MS);
  expect(group.fetched(3)).toBeUndefined();
  group.propose(1, "three");
  group.run(50);
  expect(group.applied(3)).toEqual(["snapshot 2", "three"]);
});

test("#23 timers and messages that come while a snapshot is under way do no harm to it (phxpaxos#158)", () => {
  const group = wanting();
  group.propose(1, "three");
  group.run(20);
  expect(group.entry(3, 3)).toBe(`accepted ${group.promised(1)}: three`);
  expect(group.applied(3)).toEqual([]);
  // The leader is gone for a while: timers fire, and node 3, which knows nothing yet, may even be asked to lead.
  group.run(500, between(2, 3));
  group.run(FOUR_TIMEOUTS_MS);
  group.leader();
  expect(group.fetched(3)?.slot).toBe(2);
  group.install(3, 2);
  group.run(100);
  expect(group.applied(3)).toEqual(["snapshot 2", "three"]);
});
