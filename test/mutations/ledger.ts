/** Rules of the ledger and of a group as a whole: one replica breaks them, and somebody compares what is said. */
import { InvariantViolation } from "../../shared/model/assert.ts";
import { recover } from "../../coordinator/paxos/recover.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import {
  DEFAULT_LEDGER_OPTIONS,
  Ledger,
  type LedgerOptions,
  type LedgerOutcome,
} from "../../coordinator/transactions/ledger/ledger.ts";
import { configOf } from "../paxos/support/group.ts";
import { barrier, commit, complete, key, transaction } from "../transactions/support/commands.ts";
import type { Noticed, RemovedRule } from "./rule.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const { answers } = DEFAULT_LEDGER_OPTIONS;
/** Days may pass from one command to the next. */
const WITH_LEAPS: LedgerOptions = { ...DEFAULT_LEDGER_OPTIONS, maxAdvanceMs: Infinity };
/** So far apart that they are forgotten one by one: 1024 sequences share a chunk (committed-set.ts). */
const NUMBERS = [1, 600, 1200, 1800];

/** Transactions commit, complete and are forgotten; after each command both ledgers are asked about everything. */
const HISTORY: readonly Command[] = [
  barrier(1),
  ...NUMBERS.flatMap((number) => [
    commit(1, number, { atMs: number, idempotency: key(`k${number}`) }),
    complete(1, number, number),
  ]),
  complete(1, 1, 2 * DAY_MS),
  barrier(2, 2 * DAY_MS),
];

const honest = (outcome: LedgerOutcome): LedgerOutcome["kind"] => outcome.kind;
const presuming = (outcome: LedgerOutcome): LedgerOutcome["kind"] =>
  outcome.kind === "forgotten" ? "aborted" : outcome.kind;

/** A transaction that was called committed is never called anything but that, or forgotten. */
function told(tell: (outcome: LedgerOutcome) => LedgerOutcome["kind"]): Noticed | undefined {
  const ledger = new Ledger(WITH_LEAPS);
  const committed = new Set<number>();
  for (const [index, command] of HISTORY.entries()) {
    ledger.apply(command);
    for (const number of NUMBERS) {
      const said = tell(ledger.transactionOutcome(transaction(1, number)));
      if (said === "committed") committed.add(number);
      if (said === "aborted" && committed.has(number)) {
        const what = `T4: transaction ${number} was committed and is called aborted`;
        return { by: "replicated ledgers", what, after: `${index + 1} commands` };
      }
    }
  }
  return undefined;
}

/** A ledger that starts from a snapshot answers every key as the one that it was taken of. */
function answeredAfterSnapshot(options: LedgerOptions): Noticed | undefined {
  const before = new Ledger();
  for (const [index, command] of HISTORY.slice(0, -2).entries()) {
    before.apply(command);
    const after = new Ledger(options);
    after.restore(before.snapshot());
    after.apply(barrier(1));
    const lost = NUMBERS.map((number) => `k${number}`).find(
      (name) => before.firstAnswer(name)?.transactionId !== after.firstAnswer(name)?.transactionId,
    );
    if (lost !== undefined) {
      const what = `S4: key ${lost} is answered otherwise after a snapshot`;
      return { by: "replicated ledgers", what, after: `${index + 1} commands` };
    }
  }
  return undefined;
}

/** An answer that was just given outlives a leader whose clock is days ahead. */
function rememberedUnderAWrongClock(options: LedgerOptions): Noticed | undefined {
  const ledger = new Ledger(options);
  ledger.apply(barrier(1));
  ledger.apply(commit(1, 1, { idempotency: key("k") }));
  ledger.apply(barrier(2, 2 * DAY_MS));
  if (ledger.firstAnswer("k") !== undefined) return undefined;
  return {
    by: "replicated ledgers",
    what: "T6: a wrong clock ages an answer",
    after: "3 commands",
  };
}

function quorumsThatNeedNotMeet(): Noticed | undefined {
  try {
    recover(configOf(1, 4, { phase1Quorum: 2, phase2Quorum: 2 }), []);
    return undefined;
  } catch (error) {
    if (!(error instanceof InvariantViolation)) throw error;
    return { by: "own assertion", what: error.message, after: "start" };
  }
}

export const LEDGER: readonly RemovedRule[] = [
  {
    mutation: "what is forgotten is presumed aborted",
    expected: /^T4: /,
    look: () => Promise.resolve(told(presuming)),
  },
  {
    mutation: "a snapshot leaves the answers out",
    expected: /^S4: /,
    look: () => {
      const forgetful = { ...DEFAULT_LEDGER_OPTIONS, answers: { ...answers, maxEntries: 0 } };
      return Promise.resolve(answeredAfterSnapshot(forgetful));
    },
  },
  {
    mutation: "one command may age all that is remembered",
    expected: /^T6: /,
    look: () => Promise.resolve(rememberedUnderAWrongClock(WITH_LEAPS)),
  },
  {
    mutation: "quorums need not meet",
    expected: /G3: every two quorums intersect/,
    look: () => Promise.resolve(quorumsThatNeedNotMeet()),
  },
];

/** The same looks at a ledger that keeps its rules. */
export function complaintsOfTheInnocent(): readonly (Noticed | undefined)[] {
  return [
    told(honest),
    answeredAfterSnapshot(DEFAULT_LEDGER_OPTIONS),
    rememberedUnderAWrongClock(DEFAULT_LEDGER_OPTIONS),
  ];
}
