/** The state machine of one carrier: every event in every state, and rules that hold for every history. */
import fc from "fast-check";
import type { GlobalId, ShardId, Xid } from "../../shared/model/ids.ts";
import type { Vote } from "../../shared/model/protocol.ts";
import {
  beginCarrier,
  stepCarrier,
  type CarrierEffect,
  type CarrierEvent,
  type CarrierOptions,
  type CarrierState,
} from "../../coordinator/transactions/transaction.ts";

const S1 = "s1" as ShardId;
const S2 = "s2" as ShardId;
const PLAN = [S1, S2].map((shard) => ({ shard, gid: `gid-${shard}` as GlobalId }));
const APPLIED: CarrierOptions = { waitFor: "applied" };
const DECIDED: CarrierOptions = { waitFor: "decided" };

const prepared: Vote = { kind: "prepared", xid: "7" as Xid, results: [[]] };
const readOnly: Vote = { kind: "readOnly", results: [[]] };
const no: Vote = { kind: "no", refusal: { code: "lock-timeout", sentence: "waited" } };
const voted = (shard: ShardId, vote: Vote): CarrierEvent => ({ kind: "voted", shard, vote });
const delivered = (shard: ShardId, confirmed: boolean): CarrierEvent => {
  return { kind: "delivered", shard, confirmed };
};
const committed: CarrierEvent = { kind: "applied", outcome: "committed" };
const voided: CarrierEvent = { kind: "applied", outcome: "void" };
const forgotten: CarrierEvent = { kind: "applied", outcome: "forgotten" };
const deadline: CarrierEvent = { kind: "deadline" };

interface Run {
  readonly state: CarrierState;
  readonly effects: readonly CarrierEffect[];
}

function run(events: readonly CarrierEvent[], options = APPLIED): Run {
  let state: CarrierState = beginCarrier(PLAN);
  const effects: CarrierEffect[] = [];
  for (const event of events) {
    const after = stepCarrier(state, event, options);
    state = after.state;
    effects.push(...after.effects);
  }
  return { state, effects };
}

const kinds = (effects: readonly CarrierEffect[]): readonly string[] =>
  effects.map(({ kind }) => kind);

type Row = readonly [CarrierState["kind"], ...CarrierEffect["kind"][]];

/** How each state is reached, and what each event does there. */
const REACHED: Record<CarrierState["kind"], readonly CarrierEvent[]> = {
  voting: [voted(S1, prepared)],
  deciding: [voted(S1, prepared), voted(S2, prepared)],
  committing: [voted(S1, prepared), voted(S2, prepared), committed],
  ended: [voted(S1, no)],
};
const EVENTS: { readonly [Kind in CarrierEvent["kind"]]: CarrierEvent & { readonly kind: Kind } } =
  {
    voted: { kind: "voted", shard: S2, vote: prepared },
    unreachable: { kind: "unreachable", shard: S2 },
    deadline: { kind: "deadline" },
    deadlocked: { kind: "deadlocked" },
    leadershipLost: { kind: "leadershipLost" },
    notProposed: { kind: "notProposed", reason: { kind: "leadershipLost" } },
    applied: { kind: "applied", outcome: "committed" },
    delivered: { kind: "delivered", shard: S2, confirmed: true },
  };
const TABLE: Record<CarrierState["kind"], Record<CarrierEvent["kind"], Row>> = {
  voting: {
    voted: ["deciding", "proposeCommit"],
    unreachable: ["ended", "answerAborted", "abortBranches"],
    deadline: ["ended", "answerAborted", "abortBranches"],
    deadlocked: ["ended", "answerAborted", "abortBranches"],
    leadershipLost: ["ended", "answerAborted", "abortBranches"],
    notProposed: ["voting"],
    applied: ["voting"],
    delivered: ["voting"],
  },
  deciding: {
    voted: ["deciding"],
    unreachable: ["deciding"],
    deadline: ["deciding", "answerUnknown"],
    deadlocked: ["deciding"],
    leadershipLost: ["deciding"],
    notProposed: ["ended", "answerAborted", "abortBranches"],
    applied: ["committing", "commitBranches"],
    delivered: ["deciding"],
  },
  committing: {
    voted: ["committing"],
    unreachable: ["committing"],
    deadline: ["committing", "answerCommitted"],
    deadlocked: ["committing"],
    leadershipLost: ["committing"],
    notProposed: ["committing"],
    applied: ["committing"],
    delivered: ["committing"],
  },
  ended: {
    voted: ["ended"],
    unreachable: ["ended"],
    deadline: ["ended"],
    deadlocked: ["ended"],
    leadershipLost: ["ended"],
    notProposed: ["ended"],
    applied: ["ended"],
    delivered: ["ended"],
  },
};

const CELLS = Object.entries(TABLE).flatMap(([state, row]) =>
  Object.entries(row).map(([event, expected]) => [state, event, expected] as const),
);

test.each(CELLS)("while %s, on %s: %j", (stateKind, eventKind, [after, ...effects]) => {
  const { state } = run(REACHED[stateKind as CarrierState["kind"]]);
  expect(state.kind).toBe(stateKind);
  const stepped = stepCarrier(state, EVENTS[eventKind as CarrierEvent["kind"]], APPLIED);
  expect(stepped.state.kind).toBe(after);
  expect(kinds(stepped.effects)).toEqual(effects);
});

test("T2: the commit names exactly the prepared branches, with the xids they voted with", () => {
  const { effects } = run([voted(S2, { ...prepared, xid: "9" as Xid }), voted(S1, readOnly)]);
  expect(effects).toEqual([
    { kind: "proposeCommit", branches: [{ shard: S2, gid: "gid-s2", xid: "9" }] },
  ]);
});

test("when every branch only read, nothing is proposed and the answer is committed", () => {
  const { state, effects } = run([voted(S1, readOnly), voted(S2, readOnly)]);
  expect(state.kind).toBe("ended");
  expect(effects).toEqual([{ kind: "answerCommitted", pending: [] }]);
});

test("a refusal aborts every branch but the one that refused and those that only read", () => {
  const first = run([voted(S1, prepared), voted(S2, no)]).effects;
  expect(first).toContainEqual({ kind: "abortBranches", branches: [PLAN[0]] });
  const second = run([voted(S1, no)]).effects;
  expect(second).toContainEqual({ kind: "abortBranches", branches: [PLAN[1]] });
  const third = run([voted(S1, readOnly), voted(S2, no)]).effects;
  expect(third).toContainEqual({ kind: "abortBranches", branches: [] });
});

test("a branch that cannot be reached is told to abort too: it may be prepared", () => {
  const { effects } = run([{ kind: "unreachable", shard: S1 }]);
  expect(effects).toContainEqual({ kind: "abortBranches", branches: PLAN });
});

test("a second vote of a branch is not heard", () => {
  const { state, effects } = run([voted(S1, prepared), voted(S1, no)]);
  expect(state.kind).toBe("voting");
  expect(effects).toEqual([]);
});

test("T3: a void commit aborts the branches, though the client may have been answered unknown", () => {
  const proposed = REACHED.deciding;
  expect(kinds(run([...proposed, voided]).effects)).toEqual([
    "proposeCommit",
    "answerAborted",
    "abortBranches",
  ]);
  expect(kinds(run([...proposed, deadline, voided]).effects)).toEqual([
    "proposeCommit",
    "answerUnknown",
    "abortBranches",
  ]);
});

test("T3: of a forgotten outcome no branch is told anything, and the client only that it is unknown", () => {
  const proposed = REACHED.deciding;
  expect(run([...proposed, forgotten]).state.kind).toBe("ended");
  expect(kinds(run([...proposed, forgotten]).effects)).toEqual(["proposeCommit", "answerUnknown"]);
  expect(kinds(run([...proposed, deadline, forgotten]).effects)).toEqual([
    "proposeCommit",
    "answerUnknown",
  ]);
});

test("waiting for applied, the answer comes with the last delivery and names what is pending", () => {
  const events = [...REACHED.committing, delivered(S1, false), delivered(S2, true)];
  const { state, effects } = run(events);
  expect(state.kind).toBe("ended");
  expect(effects.at(-1)).toEqual({ kind: "answerCommitted", pending: [S1] });
});

test("waiting for decided, the answer comes with the decision", () => {
  const { effects } = run(REACHED.committing, DECIDED);
  expect(kinds(effects)).toEqual(["proposeCommit", "answerCommitted", "commitBranches"]);
  expect(effects[1]).toEqual({ kind: "answerCommitted", pending: [S1, S2] });
});

test("the deadline while branches are committing answers committed and names those still on their way", () => {
  const { effects } = run([...REACHED.committing, delivered(S1, false), deadline]);
  expect(effects.at(-1)).toEqual({ kind: "answerCommitted", pending: [S2, S1] });
});

const anyShard = fc.constantFrom(S1, S2);
const anyEvent: fc.Arbitrary<CarrierEvent> = fc.oneof(
  fc
    .tuple(anyShard, fc.constantFrom(prepared, prepared, readOnly, no))
    .map(([at, v]) => voted(at, v)),
  anyShard.map((shard): CarrierEvent => ({ kind: "unreachable", shard })),
  fc.constantFrom<CarrierEvent>(
    deadline,
    committed,
    voided,
    forgotten,
    EVENTS.leadershipLost,
    EVENTS.notProposed,
  ),
  fc.tuple(anyShard, fc.boolean()).map(([shard, confirmed]) => delivered(shard, confirmed)),
);

test("in every history: one answer, one proposal, and never both commit and abort of the branches", () => {
  fc.assert(
    fc.property(
      fc.array(anyEvent, { maxLength: 12 }),
      fc.constantFrom(APPLIED, DECIDED),
      (events, options) => {
        const { effects, state } = run(events, options);
        const all = kinds(effects);
        const count = (kind: string): number => all.filter((other) => other === kind).length;
        expect(all.filter((kind) => kind.startsWith("answer")).length).toBeLessThanOrEqual(1);
        expect(count("proposeCommit")).toBeLessThanOrEqual(1);
        expect(count("commitBranches") + count("abortBranches")).toBeLessThanOrEqual(1);
        if (count("commitBranches") > 0) expect(count("answerAborted")).toBe(0);
        if (count("abortBranches") > 0) expect(count("answerCommitted")).toBe(0);
        if (state.kind === "ended")
          expect(all.some((kind) => kind.startsWith("answer"))).toBe(true);
      },
    ),
    { numRuns: 2_000 },
  );
});
