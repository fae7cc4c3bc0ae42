import {
  BEGINNING,
  type BranchEvent,
  type BranchState,
  foundBranch,
  isBeforeVote,
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
  const open: BranchState[] = [BEGINNING, foundBranch(XID)];
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
