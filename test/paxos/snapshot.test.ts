/** What snapshots let a node forget, and how one that was left behind takes a peer's. */
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import type { PaxosMessage } from "../../coordinator/paxos/message.ts";
import { assertLocalInvariants } from "../../coordinator/paxos/invariants.ts";
import type { PaxosState } from "../../coordinator/paxos/state.ts";
import { recover } from "../../coordinator/paxos/recover.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { Turn } from "../../coordinator/paxos/turn.ts";
import { fiveChosen, offer } from "./support/five-chosen.ts";
import { between, configOf, Group, ofKind, to, value } from "./support/group.ts";

const B11 = ballot(1, nodeId(1));
const B12 = ballot(1, nodeId(2));
const B33 = ballot(3, nodeId(3));

const learnReply = (
  upTo: number,
  ...slots: readonly (readonly [number, string])[]
): PaxosMessage => ({
  kind: "learnReply",
  slots: slots.map(([at, text]) => ({ slot: slot(at), value: value(text) })),
  chosenUpTo: slot(upTo),
});

/** The same, and both have truncated all but the last slot. */
function truncated(): Group {
  const group = fiveChosen({ trailingSlots: 1 });
  group.snapshot(1);
  group.snapshot(2);
  return group;
}

describe("an own snapshot", () => {
  test("A6: takes its slots out of the log, but for a trailing part, and is noted with the promise", () => {
    const group = fiveChosen({ trailingSlots: 2 });
    group.snapshot(2);
    expect(group.records(2).at(-1)).toEqual({
      kind: "snapshot",
      slot: 5,
      truncatedUpTo: 3,
      promised: B11,
    });
    expect([3, 4, 5].map((at) => group.entry(2, at))).toEqual([
      undefined,
      "chosen: four",
      "chosen: five",
    ]);
    expect(group.state(2).chosenUpTo).toBe(5);
    expect(group.state(2).snapshotSlot).toBe(5);
  });

  test.each([
    [0, 5],
    [3, 5],
    [4, 4],
    [8, 3],
    [1_000, 0],
  ])("the trailing part has a bound in bytes: with %i of them slot %i is gone", (bytes, gone) => {
    const group = fiveChosen({ trailingSlots: 100, trailingBytes: bytes });
    group.snapshot(1);
    expect(group.state(1).log.truncatedUpTo).toBe(gone);
  });

  test("A6: a snapshot of what is not chosen stops the node", () => {
    const group = fiveChosen();
    expect(() => {
      group.input(1, { kind: "snapshotSaved", slot: slot(6), origin: "own" });
    }).toThrow(InvariantViolation);
  });

  test("A6: one that a newer snapshot has overtaken is not noted", () => {
    const group = fiveChosen();
    group.snapshot(1);
    const noted = group.records(1).length;
    group.input(1, { kind: "snapshotSaved", slot: slot(4), origin: "own" });
    group.input(1, { kind: "snapshotSaved", slot: slot(5), origin: "own" });
    expect(group.records(1)).toHaveLength(noted);
    expect(group.state(1).snapshotSlot).toBe(5);
  });

  test("leaves a leader leading", () => {
    const group = fiveChosen({ trailingSlots: 0 });
    group.propose(1, "six");
    group.snapshot(1);
    group.deliver(between(1, 2));
    expect(group.role(1)).toBe("leader");
    expect(group.applied(1).at(-1)).toBe("six");
  });
});

describe("a restart from a snapshot", () => {
  test("S3: goes on behind it, with the trailing part and what came later", () => {
    const group = truncated();
    group.propose(1, "six", "seven");
    group.deliver(between(1, 2));
    group.truncateStore(1);
    group.restart(1);
    const { chosenUpTo, snapshotSlot, log } = group.state(1);
    expect([snapshotSlot, log.truncatedUpTo]).toEqual([5, 4]);
    expect(group.applied(1)[0]).toBe("snapshot 5");
    expect(group.applied(1)).toHaveLength(1 + chosenUpTo - 5);
    expect(group.entry(1, 5)).toBe("chosen: five");
    expect(group.entry(1, 7)).toMatch(/: seven$/);
  });

  test("A1: the promise survives the record that gave it", () => {
    const group = truncated();
    group.silence();
    group.receive(2, 3, { kind: "phase1a", ballot: B33, fromSlot: slot(6) });
    group.propose(1, "six");
    group.receive(2, 1, learnReply(6, [6, "six"]));
    group.snapshot(2);
    group.truncateStore(2);
    expect(group.records(2).map(({ kind }) => kind)).not.toContain("promised");
    group.restart(2);
    expect(group.promised(2)).toBe(B33);
  });

  test("S3: what the log still holds below the truncation does not count", () => {
    const group = fiveChosen();
    group.drop();
    group.receive(3, 2, {
      kind: "phase2a",
      ballot: B12,
      slot: slot(2),
      value: value("in vain"),
      chosenUpTo: slot(0),
    });
    group.install(3, 5);
    group.restart(3);
    expect(group.applied(3)).toEqual(["snapshot 5"]);
    expect(group.entry(3, 2)).toBeUndefined();
    expect(group.state(3).chosenUpTo).toBe(5);
  });

  test("the last of several snapshots counts", () => {
    const group = fiveChosen({ trailingSlots: 1 });
    group.snapshot(1);
    group.propose(1, "six");
    group.deliver(between(1, 2));
    group.snapshot(1);
    group.restart(1);
    expect(group.applied(1)).toEqual(["snapshot 6"]);
    expect(group.state(1).log.truncatedUpTo).toBe(5);
  });

  test("C3: a slot between truncation and snapshot that the log does not hold stops the node", () => {
    const group = truncated();
    const records = group.records(1).filter((record) => !("value" in record));
    expect(() => recover(configOf(1, 3), records)).toThrow("C3");
  });
});

describe("a peer's snapshot", () => {
  test("S3: takes the place of what was applied, before any later slot is", () => {
    const group = fiveChosen();
    group.receive(3, 2, learnReply(7, [1, "one"], [6, "six"], [7, "seven"]));
    expect(group.applied(3)).toEqual(["one"]);
    group.install(3, 5);
    expect(group.applied(3)).toEqual(["snapshot 5", "six", "seven"]);
    expect(group.state(3).chosenUpTo).toBe(7);
    expect(group.records(3)).toContainEqual({
      kind: "snapshot",
      slot: 5,
      truncatedUpTo: 5,
      promised: group.promised(3),
    });
  });

  test("S3: never moves the state back: one that holds nothing new is ignored", () => {
    const group = fiveChosen();
    const before = group.state(2);
    group.install(2, 4);
    group.install(2, 5);
    expect(group.state(2)).toEqual(before);
    expect(group.applied(2)).toEqual(["one", "two", "three", "four", "five"]);
  });

  test("S1: a late word about a slot that is gone changes nothing", () => {
    const group = truncated();
    const before = group.state(2);
    group.receive(2, 1, learnReply(5, [2, "two"], [3, "three"]));
    expect(group.state(2).log).toBe(before.log);
    expect(group.applied(2)).toEqual(["one", "two", "three", "four", "five"]);
  });

  test("C5: a leader that installs one leads no more: it must not call that chosen under its ballot", () => {
    const group = fiveChosen();
    group.install(1, 9);
    expect(group.role(1)).toBe("follower");
    expect(group.state(1).chosenUpTo).toBe(9);
  });

  test("a candidate that installs one goes on, and proposes only above it", () => {
    const group = new Group(3);
    group.campaign(3);
    group.install(3, 5);
    group.deliver();
    expect(group.role(3)).toBe("leader");
    group.propose(3, "six");
    expect(group.entry(3, 6)).toMatch(/: six$/);
    expect(group.entry(3, 5)).toBeUndefined();
  });
});

describe("whoever asks for what is gone", () => {
  test("is offered the snapshot when it wants to learn, and pages again above the truncation", () => {
    const group = truncated();
    group.receive(2, 3, { kind: "learnRequest", fromSlot: slot(4) });
    group.receive(2, 3, { kind: "learnRequest", fromSlot: slot(5) });
    expect(group.drop(to(3)).map(({ message }) => message)).toEqual([
      offer(5),
      learnReply(5, [5, "five"]),
    ]);
  });

  test("A6: an offer waits until the record of the snapshot is durable", () => {
    const group = truncated();
    const request = { kind: "learnRequest", fromSlot: slot(1) } as const;
    const { output } = step(group.state(2), { kind: "message", from: nodeId(3), message: request });
    expect(output.send).toEqual([]);
    expect(output.release.map(({ message }) => message)).toEqual([offer(5)]);
  });

  test("A6: gets no vote for it, and no record is written", () => {
    const group = truncated();
    const written = group.records(2).length;
    const message = { slot: slot(3), value: value("other"), chosenUpTo: slot(0) };
    group.receive(2, 3, { kind: "phase2a", ballot: B33, ...message });
    expect(group.drop(to(3)).map((sent) => sent.message)).toEqual([offer(5)]);
    expect(group.records(2)).toHaveLength(written);
    expect(group.state(2).log.truncatedUpTo).toBe(4);
  });

  test("A5: a promise reports what lies above the truncation, and where that is", () => {
    const group = truncated();
    group.silence();
    group.receive(2, 3, { kind: "phase1a", ballot: B33, fromSlot: slot(1) });
    expect(group.drop(ofKind("phase1b")).map(({ message }) => message)).toEqual([
      {
        kind: "phase1b",
        ballot: B33,
        fromSlot: 1,
        nextSlot: null,
        truncatedUpTo: 4,
        slots: [{ kind: "chosen", slot: 5, value: value("five") }],
      },
    ]);
  });
});

describe("a candidate", () => {
  test("P4: that hears of a truncation above what it knows gives up and catches up", () => {
    const group = truncated();
    group.campaign(3);
    group.deliver(ofKind("phase1a", "phase1b"));
    expect(group.role(3)).toBe("follower");
    expect(group.wire.filter(ofKind("phase2a"))).toEqual([]);
    group.deliver(ofKind("learnRequest", "snapshotOffer"));
    expect(group.fetched(3)).toMatchObject({ slot: 5 });
  });

  test("P4: is not stopped by a truncation of what it knows", () => {
    const group = truncated();
    group.elect(2);
    expect(group.role(2)).toBe("leader");
  });

  test("P4: removed, a no-op is proposed where a value is chosen", () => {
    const group = new Group(3, { windowSlots: 8, trailingSlots: 0 });
    group.elect(1);
    group.propose(1, "one");
    group.deliver(between(1, 2));
    group.run(10, between(1, 2));
    group.snapshot(1);
    group.snapshot(2);
    group.campaign(3);
    group.deliver(ofKind("phase1a"));
    for (const { from, message } of group.drop(ofKind("phase1b"))) {
      const hidden = { ...message, truncatedUpTo: slot(0) } as PaxosMessage;
      group.receive(3, from, hidden);
    }
    expect(group.role(3)).toBe("leader");
    expect(group.entry(3, 1)).toBeUndefined();
    group.propose(3, "other");
    expect(group.entry(3, 1)).toMatch(/: other$/);
  });
});

describe("an offer", () => {
  test("makes a node that is behind want the snapshot, again and again, from whoever offers one", () => {
    const group = truncated();
    group.receive(3, 1, { kind: "heartbeat", ballot: B11, beat: 1, chosenUpTo: slot(5) });
    group.deliver(ofKind("learnRequest", "snapshotOffer"));
    expect(group.fetched(3)).toEqual({ peer: 1, slot: 5 });
    group.pass(10, [3]);
    group.deliver(ofKind("learnRequest", "snapshotOffer"));
    expect(group.fetched(3)).toEqual({ peer: 2, slot: 5 });
  });

  test("of what is known is ignored", () => {
    const group = truncated();
    group.receive(1, 2, offer(5, 9));
    expect(group.fetched(1)).toBeUndefined();
    expect(group.role(1)).toBe("leader");
    expect(group.wire).toEqual([]);
  });

  test("deposes a leader that knows less: somebody else went on", () => {
    const group = fiveChosen();
    group.receive(1, 2, offer(7, 9));
    expect(group.role(1)).toBe("follower");
    expect(group.fetched(1)).toEqual({ peer: 2, slot: 7 });
    expect(group.state(1).catchUp?.upTo).toBe(9);
  });

  test("is no reason for a candidate to give up", () => {
    const group = new Group(3);
    group.campaign(3);
    group.receive(3, 2, offer(5));
    expect(group.role(3)).toBe("candidate");
  });

  test("leads to a node that is level again, with the rest from the log", () => {
    const group = truncated();
    group.propose(1, "six", "seven");
    group.deliver(between(1, 2));
    group.drop();
    group.run(10);
    expect(group.fetched(3)).toEqual({ peer: 1, slot: 5 });
    group.install(3, 5);
    group.deliver();
    expect(group.applied(3)).toEqual(["snapshot 5", "six", "seven"]);
    expect(group.state(3).catchUp).toBeUndefined();
  });
});

test("a leader that proposes what somebody has truncated was replaced, and learns it from the offer", () => {
  const group = fiveChosen();
  group.install(3, 7);
  group.propose(1, "six");
  group.deliver(between(1, 3));
  expect(group.role(1)).toBe("follower");
  expect(group.fetched(1)).toEqual({ peer: 3, slot: 7 });
});

const chosenFive = (): PaxosState => fiveChosen().state(1);

describe("a core that broke the rules would halt", () => {
  test.each([
    ["a log without what no snapshot holds", { log: chosenFive().log.truncate(slot(3)) }],
    ["a snapshot of what is not chosen", { snapshotSlot: slot(6) }],
  ])("A6: on %s", (_, broken) => {
    const before = chosenFive();
    expect(() => {
      assertLocalInvariants(before, { ...before, ...broken });
    }).toThrow("A6: what is gone");
  });

  test("A6: on a snapshot that gives way to an older one", () => {
    const before = { ...chosenFive(), snapshotSlot: slot(4) };
    for (const older of [
      { ...before, snapshotSlot: slot(3) },
      { ...before, log: before.log.truncate(slot(1)) },
    ]) {
      const [from, to] = older.snapshotSlot === 4 ? [older, before] : [before, older];
      expect(() => {
        assertLocalInvariants(from, to);
      }).toThrow("A6: a snapshot only gives way");
    }
  });

  test("S3: on a snapshot that would move the state back, or come behind a later slot", () => {
    expect(() => {
      new Turn(chosenFive()).restore(slot(5));
    }).toThrow("S3");
    const turn = new Turn(chosenFive());
    turn.markChosen(slot(6), value("six"));
    expect(() => {
      turn.restore(slot(9));
    }).toThrow("S3");
  });
});
