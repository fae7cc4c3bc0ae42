/** What a node may say of a carrier, and under which ballot it may act. */
import type { CarrierId, ShardId, Xid } from "../../shared/model/ids.ts";
import type { BranchOutcome } from "../../shared/model/inquiry.ts";
import { Leadership } from "../../coordinator/transactions/leadership.ts";
import { Ledger } from "../../coordinator/transactions/ledger/ledger.ts";
import { Outcomes } from "../../coordinator/transactions/outcomes.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import { barrier, carrier, commit, complete, roundBallot } from "./support/commands.ts";

interface Told {
  readonly said: (id: CarrierId, shard?: string) => BranchOutcome | undefined;
  readonly leadership: Leadership;
  readonly held: Set<CarrierId>;
  readonly apply: (...commands: readonly Command[]) => void;
}

/** A node that applies commands, leading under the given round from the start or not at all. */
function nodeLeading(round?: number): Told {
  const ledger = new Ledger();
  const leadership = new Leadership();
  const held = new Set<CarrierId>();
  if (round !== undefined) leadership.elected(roundBallot(round));
  const outcomes = new Outcomes(ledger, leadership, (id) => held.has(id));
  return {
    leadership,
    held,
    apply: (...commands) => {
      for (const command of commands) {
        const applied = ledger.apply(command);
        if (applied.kind === "barrier") leadership.barrierApplied(applied.ballot, applied.floor);
      }
    },
    said: (id, shard = "s1") => {
      const branches = [{ carrierId: id, xid: "1" as Xid }];
      return outcomes.answer({ shard: shard as ShardId, branches }).outcomes[0];
    },
  };
}

test("a committed carrier is told with the xid that the asking shard voted with", () => {
  const node = nodeLeading();
  node.apply(barrier(1), commit(1, 1));
  expect(node.said(carrier(1, 1))).toEqual({ kind: "committed", xid: "101" });
  expect(node.said(carrier(1, 1), "stranger")).toEqual({ kind: "committed", xid: null });
  node.apply(complete(1, 1));
  expect(node.said(carrier(1, 1))).toEqual({ kind: "committed", xid: null });
});

test("below the floor any node says aborted; at it and above only who led it could know", () => {
  const node = nodeLeading();
  node.apply(barrier(1), barrier(2));
  expect(node.said(carrier(1, 1))).toEqual({ kind: "aborted" });
  expect(node.said(carrier(2, 1))).toEqual({ kind: "undecided" });
  expect(node.said(carrier(3, 1))).toEqual({ kind: "undecided" });
});

test("under its own ballot a serving leader says aborted of what it does not hold, undecided of what it holds", () => {
  const node = nodeLeading(2);
  node.held.add(carrier(2, 1));
  expect(node.said(carrier(2, 2))).toEqual({ kind: "undecided" });
  node.apply(barrier(2));
  expect(node.said(carrier(2, 1))).toEqual({ kind: "undecided" });
  expect(node.said(carrier(2, 2))).toEqual({ kind: "aborted" });
  expect(node.said(carrier(3, 1))).toEqual({ kind: "undecided" });
  node.leadership.ended();
  expect(node.said(carrier(2, 2))).toEqual({ kind: "undecided" });
});

test("nothing is presumed of what carries no carrier id", () => {
  const node = nodeLeading();
  node.apply(barrier(9));
  expect(node.said("gibberish" as CarrierId)).toEqual({ kind: "forgotten" });
});

test("a leader serves when its own barrier is applied and is the floor, not before and not under a higher one", () => {
  const early = nodeLeading(2);
  early.apply(barrier(1));
  expect(early.leadership.ballot).toBeUndefined();
  early.apply(barrier(2));
  expect(early.leadership.ballot).toBe(roundBallot(2));

  const late = nodeLeading(2);
  late.apply(barrier(3), barrier(2));
  expect(late.leadership.ballot).toBeUndefined();
});

test("a barrier applied after leading has ended, or twice, makes nobody serve", () => {
  const leadership = new Leadership();
  leadership.elected(roundBallot(2));
  leadership.ended();
  expect(leadership.barrierApplied(roundBallot(2), roundBallot(2))).toBe(false);
  expect(leadership.ballot).toBeUndefined();
  leadership.elected(roundBallot(3));
  expect(leadership.barrierApplied(roundBallot(3), roundBallot(3))).toBe(true);
  expect(leadership.barrierApplied(roundBallot(3), roundBallot(3))).toBe(false);
  leadership.elected(roundBallot(4));
  expect(leadership.ballot).toBeUndefined();
});

test("sequence numbers are never handed out twice under one ballot", () => {
  const leadership = new Leadership();
  leadership.elected(roundBallot(1));
  const numbers = Array.from({ length: 100 }, () => leadership.nextSequence());
  expect(new Set(numbers).size).toBe(100);
});
