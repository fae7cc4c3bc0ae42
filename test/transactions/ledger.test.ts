/** The replicated state machine: what a command does, what is said of a transaction, and what is forgotten when. */
import fc from "fast-check";
import type { CarrierId } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import {
  DEFAULT_LEDGER_OPTIONS,
  Ledger,
  type LedgerOptions,
} from "../../coordinator/transactions/ledger/ledger.ts";
import {
  barrier,
  carrier,
  commit,
  complete,
  key,
  roundBallot,
  transaction,
} from "./support/commands.ts";

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

/** Days may pass from one command to the next. */
const WITH_LEAPS: LedgerOptions = { ...DEFAULT_LEDGER_OPTIONS, maxAdvanceMs: Infinity };

function ledgerAfter(commands: readonly Command[], options?: Partial<LedgerOptions>): Ledger {
  const ledger = new Ledger({ ...WITH_LEAPS, ...options });
  for (const command of commands) ledger.apply(command);
  return ledger;
}

const outcome = (ledger: Ledger, round: number, number: number): string =>
  ledger.carrierOutcome(carrier(round, number)).kind;

test("a commit is committed for its carrier and for its member, and owed until complete", () => {
  const ledger = ledgerAfter([barrier(1)]);
  const command = commit(1, 1);
  expect(ledger.apply(command)).toEqual({ kind: "committed", carrier: command });
  expect(ledger.carrierOutcome(carrier(1, 1))).toEqual({ kind: "committed", carrier: command });
  expect(ledger.transactionOutcome(transaction(1, 1))).toEqual({
    kind: "committed",
    carrier: command,
  });
  expect([...ledger.incomplete()]).toEqual([command]);
  ledger.apply(complete(1, 1));
  expect(ledger.incompleteCount).toBe(0);
  expect(ledger.carrierOutcome(carrier(1, 1))).toEqual({ kind: "committed", carrier: undefined });
  expect(ledger.transactionOutcome(transaction(1, 1)).kind).toBe("committed");
});

test("a commit below the floor is void, and its transaction aborted for ever", () => {
  const ledger = ledgerAfter([barrier(1), barrier(2)]);
  expect(ledger.apply(commit(1, 1))).toEqual({ kind: "void", carrierId: carrier(1, 1) });
  expect(outcome(ledger, 1, 1)).toBe("aborted");
  expect(ledger.transactionOutcome(transaction(1, 1)).kind).toBe("aborted");
  expect(ledger.incompleteCount).toBe(0);
});

test("the floor never falls: a barrier of a lower ballot changes nothing", () => {
  const ledger = ledgerAfter([barrier(3)]);
  expect(ledger.apply(barrier(2))).toEqual({
    kind: "barrier",
    ballot: roundBallot(2),
    floor: roundBallot(3),
  });
  expect(ledger.floor).toBe(roundBallot(3));
});

test("a commit at the floor stands, and a later barrier does not undo it", () => {
  const ledger = ledgerAfter([barrier(1), commit(1, 1), barrier(2)]);
  expect(outcome(ledger, 1, 1)).toBe("committed");
  expect(outcome(ledger, 1, 2)).toBe("aborted");
  expect(outcome(ledger, 2, 1)).toBe("undecided");
  expect(outcome(ledger, 3, 1)).toBe("undecided");
});

test("T1: the first decision stands: a second commit of the carrier changes nothing, even below the floor", () => {
  const first = commit(1, 1, { idempotency: key("k") });
  const second = { ...first, branches: [] };
  const ledger = ledgerAfter([barrier(1), first, barrier(2)]);
  expect(ledger.apply(second)).toEqual({ kind: "committed", carrier: first });
  ledger.apply(complete(1, 1));
  expect(ledger.apply(second)).toEqual({ kind: "completed", carrierIds: [carrier(1, 1)] });
  expect(ledger.incompleteCount).toBe(0);
  expect(ledger.answerCount).toBe(1);
});

test("a key that was answered for another transaction makes the commit void", () => {
  const ledger = ledgerAfter([barrier(1), commit(1, 1, { idempotency: key("k") })]);
  expect(ledger.apply(commit(1, 2, { idempotency: key("k") })).kind).toBe("void");
  expect(ledger.firstAnswer("k")?.transactionId).toBe(transaction(1, 1));
  ledger.apply(barrier(2));
  expect(outcome(ledger, 1, 2)).toBe("aborted");
  expect(ledger.apply(commit(2, 1, { idempotency: key("k") })).kind).toBe("void");
});

test("the first answer is kept under its key, with the fingerprint of the body", () => {
  const results = [{ rowCount: 1, rows: [{ id: "a" }] }];
  const ledger = ledgerAfter([
    barrier(1),
    commit(1, 1, { idempotency: key("k", "print"), results, atMs: 5 }),
  ]);
  expect(ledger.firstAnswer("k")).toMatchObject({
    transactionId: transaction(1, 1),
    fingerprint: "print",
    results,
    atMs: 5,
  });
  expect(ledger.firstAnswer("other")).toBeUndefined();
});

test("a carrier that names another ballot than it was begun under stops the replica", () => {
  const ledger = ledgerAfter([barrier(1)]);
  expect(() => ledger.apply({ ...commit(1, 1), ballot: roundBallot(2) })).toThrow(
    InvariantViolation,
  );
});

test("completing what is not owed changes nothing", () => {
  const ledger = ledgerAfter([barrier(1), complete(1, 1)]);
  expect(outcome(ledger, 1, 1)).toBe("undecided");
});

test("a decision is forgotten a day after its ballot ended, and then nobody may presume", () => {
  const ledger = ledgerAfter([barrier(1), commit(1, 1), complete(1, 1), barrier(2)]);
  ledger.apply(barrier(3, DAY_MS));
  expect(outcome(ledger, 1, 1)).toBe("committed");
  ledger.apply(barrier(4, DAY_MS + 1));
  expect(outcome(ledger, 1, 1)).toBe("forgotten");
  expect(outcome(ledger, 1, 2)).toBe("forgotten");
  expect(ledger.apply(commit(1, 1)).kind).toBe("void");
  expect(outcome(ledger, 2, 1)).toBe("aborted");
});

test("a decision is kept for a day past its completion, however late that came", () => {
  const ledger = ledgerAfter([barrier(1), commit(1, 1), barrier(2), complete(1, 1, 3 * DAY_MS)]);
  expect(outcome(ledger, 1, 1)).toBe("committed");
  ledger.apply(barrier(3, 4 * DAY_MS));
  expect(outcome(ledger, 1, 1)).toBe("committed");
  ledger.apply(barrier(4, 4 * DAY_MS + 1));
  expect(outcome(ledger, 1, 1)).toBe("forgotten");
});

test("what still owes a branch, or has neighbours that can still commit, is not forgotten", () => {
  const ledger = ledgerAfter([
    barrier(1),
    commit(1, 1),
    barrier(2),
    commit(2, 1),
    complete(2, 1),
    barrier(3, 9 * DAY_MS),
  ]);
  expect(outcome(ledger, 1, 1)).toBe("committed");
  expect(outcome(ledger, 1, 2)).toBe("aborted");
  expect(outcome(ledger, 2, 1)).toBe("forgotten");
  const alone = ledgerAfter([barrier(1), commit(1, 1), complete(1, 1), complete(1, 9, 9 * DAY_MS)]);
  expect(outcome(alone, 1, 1)).toBe("committed");
  expect(alone.apply(commit(1, 2, { atMs: 9 * DAY_MS })).kind).toBe("committed");
});

/** Numbers in one chunk each: carrier `number` has sequence 2 * number - 1, its member the next one. */
const [IN_FIRST, IN_SECOND, IN_THIRD] = [1, 600, 1200];

function committedAndComplete(round: number, number: number, atMs: number): readonly Command[] {
  return [commit(round, number, { atMs }), complete(round, number, atMs)];
}

test("under one leader decisions are forgotten chunk by chunk, a day after the next chunk began", () => {
  const ledger = ledgerAfter([
    barrier(1),
    ...committedAndComplete(1, IN_FIRST, 0),
    ...committedAndComplete(1, IN_SECOND, HOUR_MS),
  ]);
  ledger.apply(complete(1, 999, HOUR_MS + DAY_MS));
  expect(outcome(ledger, 1, IN_FIRST)).toBe("committed");
  ledger.apply(complete(1, 999, HOUR_MS + DAY_MS + 1));
  expect(outcome(ledger, 1, IN_FIRST)).toBe("forgotten");
  expect(outcome(ledger, 1, IN_FIRST + 1)).toBe("forgotten");
  expect(outcome(ledger, 1, IN_SECOND)).toBe("committed");
  expect(outcome(ledger, 1, IN_SECOND + 1)).toBe("undecided");
});

test("a late commit of what is forgotten is void, also under the ballot that still leads", () => {
  const ledger = ledgerAfter([
    barrier(1),
    ...committedAndComplete(1, IN_FIRST, 0),
    ...committedAndComplete(1, IN_SECOND, 0),
    complete(1, 999, 2 * DAY_MS),
  ]);
  const late = commit(1, IN_FIRST + 1, { atMs: 2 * DAY_MS, idempotency: key("late") });
  expect(ledger.apply(late)).toEqual({ kind: "void", carrierId: late.carrierId });
  expect(outcome(ledger, 1, IN_FIRST + 1)).toBe("forgotten");
  expect(ledger.firstAnswer("late")).toBeUndefined();
  expect(ledger.incompleteCount).toBe(0);
});

test("a commit with a member that is forgotten is void as a whole", () => {
  const ledger = ledgerAfter([
    barrier(1),
    ...committedAndComplete(1, IN_FIRST, 0),
    ...committedAndComplete(1, IN_SECOND, 0),
    complete(1, 999, 2 * DAY_MS),
  ]);
  const { members } = commit(1, IN_FIRST + 1);
  expect(ledger.apply({ ...commit(1, IN_THIRD), members }).kind).toBe("void");
  expect(outcome(ledger, 1, IN_THIRD)).toBe("undecided");
  expect(ledger.transactionOutcome(transaction(1, IN_FIRST + 1)).kind).toBe("forgotten");
});

test("a branch that never confirms keeps its own neighbours alone, and is still delivered", () => {
  const ledger = ledgerAfter([
    barrier(1),
    commit(1, IN_FIRST),
    ...committedAndComplete(1, IN_SECOND, 0),
    ...committedAndComplete(1, IN_THIRD, 0),
    complete(1, 999, 9 * DAY_MS),
  ]);
  expect(outcome(ledger, 1, IN_FIRST)).toBe("committed");
  expect(outcome(ledger, 1, IN_SECOND)).toBe("forgotten");
  ledger.apply(complete(1, IN_FIRST, 9 * DAY_MS));
  ledger.apply(complete(1, 999, 10 * DAY_MS));
  expect(outcome(ledger, 1, IN_FIRST)).toBe("committed");
  ledger.apply(complete(1, 999, 10 * DAY_MS + 1));
  expect(outcome(ledger, 1, IN_FIRST)).toBe("forgotten");
});

test("a hundred thousand completed transactions under one leader, beyond their retention, leave next to nothing", () => {
  const ledger = ledgerAfter([barrier(1)], { decisionRetentionMs: HOUR_MS });
  for (let number = 1; number <= 100_000; number += 1) {
    const atMs = number * 1_000;
    ledger.apply(commit(1, number, { atMs }));
    ledger.apply(complete(1, number, atMs));
  }
  expect(ledger.decisionBytes).toBeLessThan(2 * 1024);
  const bytes = [...ledger.snapshot()].reduce((sum, chunk) => sum + chunk.length, 0);
  expect(bytes).toBeLessThan(4 * 1024);
});

const anyRound = fc.integer({ min: 1, max: 4 });
const NUMBERS = [IN_FIRST, IN_FIRST + 1, IN_SECOND, IN_THIRD];
const anyNumber = fc.constantFrom(...NUMBERS);
const anyAtMs = fc.integer({ min: 0, max: 4 }).map((days) => days * DAY_MS);
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.tuple(anyRound, anyAtMs).map(([round, atMs]) => barrier(round, atMs)),
  fc
    .tuple(anyRound, anyNumber, anyAtMs)
    .map(([round, number, atMs]) => complete(round, number, atMs)),
  fc
    .tuple(anyRound, anyNumber, anyAtMs, fc.option(fc.constantFrom("k1", "k2")))
    .map(([round, number, atMs, name]) =>
      commit(round, number, { atMs, idempotency: name === null ? null : key(name) }),
    ),
);

function everyOutcome(ledger: Ledger): readonly string[] {
  return [1, 2, 3, 4].flatMap((round) =>
    NUMBERS.map((number) => {
      const ofCarrier = outcome(ledger, round, number);
      const ofMember = ledger.transactionOutcome(transaction(round, number)).kind;
      return ofMember === ofCarrier ? ofCarrier : `${ofCarrier} but member ${ofMember}`;
    }),
  );
}

/** What may be said after what was said. */
const NEXT: Readonly<Record<string, readonly string[]>> = {
  undecided: ["undecided", "committed", "aborted", "forgotten"],
  committed: ["committed", "forgotten"],
  aborted: ["aborted", "forgotten"],
  forgotten: ["forgotten"],
};

test("what is committed is not forgotten before it is complete, nor for a day after that", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 40 }), (commands) => {
      const ledger = new Ledger(WITH_LEAPS);
      const activeAtMs = new Map<string, number>();
      const open = new Set<string>();
      let nowMs = 0;
      for (const command of commands) {
        nowMs = Math.max(nowMs, command.atMs);
        const applied = ledger.apply({ ...command, atMs: nowMs });
        if (applied.kind === "committed") {
          open.add(applied.carrier.carrierId);
          activeAtMs.set(applied.carrier.carrierId, nowMs);
        }
        if (applied.kind !== "completed") continue;
        for (const id of applied.carrierIds) if (open.delete(id)) activeAtMs.set(id, nowMs);
      }
      const kept = [...ledger.incomplete()].map(({ carrierId }) => carrierId as string);
      for (const [id, atMs] of activeAtMs) if (nowMs - atMs <= DAY_MS) kept.push(id);
      const said = kept.map((id) => ledger.carrierOutcome(id as CarrierId).kind);
      expect(said.filter((kind) => kind !== "committed")).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test("T1: whatever commands come, what the ledger once said of a transaction stays true", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 25 }), (commands) => {
      const ledger = new Ledger(WITH_LEAPS);
      let before = everyOutcome(ledger);
      for (const command of commands) {
        ledger.apply(command);
        const after = everyOutcome(ledger);
        const changes = after.map((said, index) => [before[index] ?? "", said] as const);
        expect(changes.filter(([was, is]) => NEXT[was]?.includes(is) !== true)).toEqual([]);
        before = after;
      }
    }),
    { numRuns: 500 },
  );
});

test("without the floor rule it does not: an aborted transaction commits", () => {
  const ledger = ledgerAfter([barrier(1), barrier(2)], { voidsCommitsBelowFloor: false });
  expect(outcome(ledger, 1, 1)).toBe("aborted");
  ledger.apply(commit(1, 1));
  expect(outcome(ledger, 1, 1)).toBe("committed");
});

test("S2: two replicas that apply the same commands hold the same ledger and did the same", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 25 }), (commands) => {
      const [left, right] = [new Ledger(WITH_LEAPS), new Ledger(WITH_LEAPS)];
      for (const command of commands) {
        const copy = JSON.parse(JSON.stringify(command)) as Command;
        expect(left.apply(command)).toEqual(right.apply(copy));
      }
      expect(everyOutcome(left)).toEqual(everyOutcome(right));
      expect([...left.incomplete()]).toEqual([...right.incomplete()]);
      expect([left.floor, left.answerCount]).toEqual([right.floor, right.answerCount]);
      for (const name of ["k1", "k2"]) {
        expect(left.firstAnswer(name)).toEqual(right.firstAnswer(name));
      }
    }),
  );
});
