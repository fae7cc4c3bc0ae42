import {
  BEGINNING,
  type BranchEvent,
  type BranchState,
  foundBranch,
  isBeforeVote,
  OPENING,
  step,
} from "../../participant/branches/branch.ts";
import type { Xid } from "../../shared/model/ids.ts";
import type { Refusal } from "../../shared/model/protocol.ts";

const XID = "701" as Xid;
const OTHER_XID = "999" as Xid;
const REFUSAL: Refusal = { code: "sql-error", sentence: "it failed" };
const STOP: Refusal = { code: "coordinator-changed", sentence: "stop" };

const PREPARATIONS = [
  { isPrepared: true, refusal: null },
  { isPrepared: true, refusal: REFUSAL },
  { isPrepared: false, refusal: REFUSAL },
] as const;
const EXECUTIONS = [
  { kind: "fine", xid: XID },
  { kind: "fine", xid: null },
  { kind: "refused", refusal: REFUSAL },
] as const;

const EVENTS: readonly BranchEvent[] = [
  { kind: "begun", sendsPrepare: true },
  { kind: "begun", sendsPrepare: false },
  ...EXECUTIONS.flatMap((execution): BranchEvent[] => [
    { kind: "executed", execution, preparation: null },
    ...PREPARATIONS.map((preparation) => ({ kind: "executed", execution, preparation }) as const),
  ]),
  ...PREPARATIONS.map((preparation) => ({ kind: "prepareAnswered", preparation }) as const),
  ...EXECUTIONS.flatMap((execution) =>
    [true, false].map((outlivesFailure) => ({ kind: "ran", execution, outlivesFailure }) as const),
  ),
  { kind: "stepRequested", goesBack: true },
  { kind: "stepRequested", goesBack: false },
  { kind: "prepareRequested" },
  { kind: "left" },
  { kind: "closed", refusal: null },
  { kind: "closed", refusal: REFUSAL },
  { kind: "unreachable", refusal: REFUSAL },
  { kind: "stopRequested", refusal: STOP },
  { kind: "looked", isPrepared: true },
  { kind: "looked", isPrepared: false },
  { kind: "commitDecided", xid: XID },
  { kind: "commitDecided", xid: OTHER_XID },
  { kind: "abortDecided" },
  { kind: "finished" },
  ...(["in progress", "committed", "aborted", "forgotten"] as const).map(
    (status) => ({ kind: "gone", status }) as const,
  ),
];

interface Move {
  readonly from: BranchState;
  readonly event: BranchEvent;
  readonly to: BranchState;
}

/** Every move that the machine allows, from every state that it can be brought to. */
function allMoves(): readonly Move[] {
  const moves: Move[] = [];
  const seen = new Set<string>();
  const open: BranchState[] = [BEGINNING, OPENING, foundBranch(XID)];
  for (let from = open.pop(); from !== undefined; from = open.pop()) {
    const key = JSON.stringify(from);
    if (seen.has(key)) continue;
    seen.add(key);
    for (const event of EVENTS) {
      const to = tryStep(from, event);
      if (to === undefined) continue;
      moves.push({ from, event, to });
      open.push(to);
    }
  }
  return moves;
}

function tryStep(from: BranchState, event: BranchEvent): BranchState | undefined {
  try {
    return step(from, event);
  } catch {
    return undefined;
  }
}

const moves = allMoves();
const entering = (kind: BranchState["kind"]): readonly Move[] =>
  moves.filter(({ from, to }) => to.kind === kind && from.kind !== kind);

test("a branch is committed only after it was prepared and the decision named its xid", () => {
  expect(entering("committing")).not.toHaveLength(0);
  for (const { from, event } of entering("committing")) {
    expect(from).toEqual({ kind: "prepared", xid: XID });
    expect(event).toEqual({ kind: "commitDecided", xid: XID });
  }
});

test("a yes needs the right answer to PREPARE, something written, and nothing against it", () => {
  expect(entering("prepared")).not.toHaveLength(0);
  for (const { from, event } of entering("prepared")) {
    expect(event).toMatchObject({ preparation: { isPrepared: true, refusal: null } });
    expect(from).toMatchObject({ stop: null });
    if (event.kind === "executed") expect(event.execution).toEqual({ kind: "fine", xid: XID });
  }
});

test("what was prepared without a yes is rolled back, whatever the reason", () => {
  for (const { from, event, to } of moves) {
    const isPrepared = "preparation" in event && event.preparation?.isPrepared === true;
    if (isPrepared && isBeforeVote(from)) expect(["prepared", "undoing"]).toContain(to.kind);
  }
});

test("a lost answer to PREPARE is looked into before the branch ends", () => {
  const unanswered = moves.filter(({ from, event }) => {
    const hasSent = from.kind === "preparing" || (from.kind === "executing" && from.sendsPrepare);
    return hasSent && event.kind === "unreachable";
  });
  expect(unanswered).not.toHaveLength(0);
  for (const { to } of unanswered) expect(to.kind).toBe("uncertain");
});

test("a branch is in doubt until somebody decides: nothing else moves it", () => {
  for (const { from, event, to } of moves) {
    if (from.kind !== "prepared" || to.kind === "prepared") continue;
    expect(["commitDecided", "abortDecided"]).toContain(event.kind);
  }
});

test("committed is believed only with evidence", () => {
  const ends = moves.filter(
    ({ from, to }) => from.kind !== "ended" && to.kind === "ended" && to.outcome === "committed",
  );
  expect(ends.map(({ event }) => event)).toEqual(
    expect.arrayContaining([{ kind: "finished" }, { kind: "gone", status: "committed" }]),
  );
  expect(ends).toHaveLength(2);
});

test("evidence against the decision is an incident, and the end", () => {
  const contradictions = entering("contradicted").map(({ from, event }) => [from.kind, event]);
  expect(contradictions).toEqual(
    expect.arrayContaining([
      ["committing", { kind: "gone", status: "aborted" }],
      ["committing", { kind: "gone", status: "forgotten" }],
      ["aborting", { kind: "gone", status: "committed" }],
    ]),
  );
  expect(contradictions).toHaveLength(3);
});

test("no branch leaves its end, and a stop that comes late changes nothing", () => {
  for (const { from, to } of moves) {
    if (from.kind === "ended" || from.kind === "contradicted") expect(to).toBe(from);
  }
});

test("a transaction that is still in progress is asked about again", () => {
  const state: BranchState = { kind: "committing", xid: XID };
  expect(step(state, { kind: "gone", status: "in progress" })).toBe(state);
});

test("an open branch comes to PREPARE only when it was asked for, and nothing has failed", () => {
  const fromOpen = [...entering("preparing"), ...entering("closing")].filter(
    ({ from }) => from.kind !== "executing",
  );
  expect(fromOpen).toHaveLength(2);
  for (const { from, event } of fromOpen) {
    expect(from).toMatchObject({ kind: "open", failure: null });
    expect(event).toEqual({ kind: "prepareRequested" });
  }
});

test("whatever ends an open or running branch before its vote, the session is rolled back first", () => {
  const isOpen = ({ kind }: BranchState): boolean => kind === "open" || kind === "running";
  const exits = moves.filter(
    ({ from, event, to }) =>
      isOpen(from) && !isOpen(to) && (event.kind !== "prepareRequested" || to.kind === "leaving"),
  );
  expect(exits.map(({ event }) => event.kind)).toEqual(
    expect.arrayContaining(["stopRequested", "ran", "unreachable", "prepareRequested"]),
  );
  for (const { to } of exits) expect(to.kind).toBe("leaving");
  const left = moves.filter(({ from, to }) => from.kind === "leaving" && to.kind === "ended");
  expect(left.map(({ event }) => event.kind)).toContain("left");
  for (const { to } of left) expect(to).toMatchObject({ outcome: "aborted" });
});

test("a stop that was asked for while a step ran wins over what the step came to", () => {
  const stopped = step(OPENING, { kind: "stopRequested", refusal: STOP });
  for (const execution of EXECUTIONS) {
    expect(step(stopped, { kind: "ran", execution, outlivesFailure: true })).toEqual({
      kind: "leaving",
      refusal: STOP,
    });
  }
});

test("a failure leaves the branch open only where a savepoint can mend it, and only going back does", () => {
  const execution = { kind: "refused", refusal: REFUSAL } as const;
  const failed = step(OPENING, { kind: "ran", execution, outlivesFailure: true });
  expect(failed).toEqual({ kind: "open", xid: null, failure: REFUSAL });
  expect(() => step(failed, { kind: "stepRequested", goesBack: false })).toThrow("only goes back");
  expect(step(failed, { kind: "stepRequested", goesBack: true })).toEqual(OPENING);
  expect(step(OPENING, { kind: "ran", execution, outlivesFailure: false })).toEqual({
    kind: "leaving",
    refusal: REFUSAL,
  });
});
