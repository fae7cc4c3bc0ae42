/** The state machine of an interactive transaction: every event in every state, and rules that hold for every history. */
import fc from "fast-check";
import {
  type AskedStep,
  BEGUN,
  type InteractiveEffect,
  type InteractiveEvent,
  type InteractiveState,
  judgeStep,
  objectionToCommit,
  type Step,
  stepInteractive,
} from "../../coordinator/transactions/interactive/machine.ts";
import { CommitBody } from "../../shared/model/interactive.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import type { Refusal } from "../../shared/model/protocol.ts";

const S1 = "s1" as ShardId;
const S2 = "s2" as ShardId;
const REFUSAL: Refusal = { code: "sql-error", sentence: "it failed" };
const on = (shard: ShardId): Step => ({
  kind: "operation",
  shard,
  operation: { sql: "select 1", params: [], index: 0 },
});
const asked = (seq: number, step: Step): AskedStep => ({
  seq,
  step,
  fingerprint: JSON.stringify(step),
});
const ask = (seq: number, step: Step): InteractiveEvent => ({
  kind: "stepAsked",
  asked: asked(seq, step),
});
const ran = (shard: ShardId): InteractiveEvent => ({ kind: "ran", shard });
const failed = (shard: ShardId): InteractiveEvent => ({ kind: "failed", shard, refusal: REFUSAL });
const admitted: InteractiveEvent = { kind: "admitted" };
const commitAsked: InteractiveEvent = { kind: "commitAsked", terms: CommitBody.parse({}) };
const idle: InteractiveEvent = { kind: "ends", reason: { kind: "idle" } };
const deadlock: InteractiveEvent = { kind: "ends", reason: { kind: "deadlock" } };
const refused: InteractiveEvent = {
  kind: "ends",
  reason: { kind: "refused", shard: S1, refusal: REFUSAL },
};
const save: Step = { kind: "savepoint", name: "s" };
const back: Step = { kind: "rollbackTo", name: "s" };

interface Run {
  readonly state: InteractiveState;
  readonly effects: readonly InteractiveEffect[];
}

function run(events: readonly InteractiveEvent[]): Run {
  let state: InteractiveState = BEGUN;
  const effects: InteractiveEffect[] = [];
  for (const event of events) {
    const step = stepInteractive(state, event);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}

const OPENED = [ask(1, on(S1)), admitted, ran(S1)];
const FAILED = [ask(1, save), ask(2, on(S1)), admitted, failed(S1)];

/** How each state is reached, and what each event that comes then does. */
const ROWS: readonly [string, readonly InteractiveEvent[], InteractiveEvent, string, string][] = [
  ["begun", [], ask(1, on(S1)), "running", "admit"],
  ["begun", [], ask(1, save), "open", "answerRan"],
  ["begun", [], commitAsked, "ended", "answerCommitted"],
  ["begun", [], idle, "ended", "end"],
  ["begun", [], ran(S1), "open", ""],
  ["waiting for a place", [ask(1, on(S1))], admitted, "running", "send"],
  ["waiting for a place", [ask(1, on(S1))], { kind: "notAdmitted" }, "open", ""],
  ["waiting for a place", [ask(1, on(S1))], idle, "ended", "end"],
  ["waiting for a place", [ask(1, on(S1))], ran(S1), "running", ""],
  ["opening", OPENED.slice(0, 2), ran(S1), "open", "answerRan"],
  ["opening", OPENED.slice(0, 2), failed(S1), "open", "answerFailed"],
  ["opening", OPENED.slice(0, 2), ran(S2), "running", ""],
  ["opening", OPENED.slice(0, 2), refused, "ended", "end"],
  ["opening", OPENED.slice(0, 2), deadlock, "ended", "end"],
  ["open", OPENED, ask(2, on(S1)), "running", "send"],
  ["open", OPENED, ask(2, on(S2)), "running", "admit"],
  ["open", OPENED, ask(2, save), "running", "send"],
  ["open", OPENED, commitAsked, "handedOver", "handOver"],
  ["open", OPENED, failed(S1), "open", ""],
  ["failed", FAILED, ask(3, back), "running", "send"],
  ["failed", FAILED, idle, "ended", "end"],
  ["handed over", [...OPENED, commitAsked], idle, "handedOver", ""],
  ["handed over", [...OPENED, commitAsked], deadlock, "handedOver", ""],
  ["handed over", [...OPENED, commitAsked], commitAsked, "handedOver", ""],
  ["ended", [idle], ran(S1), "ended", ""],
  ["ended", [idle], admitted, "ended", ""],
];

test.each(ROWS)("%s (%j) meets %j: %s, %s", (_, before, event, kind, effects) => {
  const { state } = run(before);
  const after = stepInteractive(state, event);
  expect(after.state.kind).toBe(kind);
  expect(after.effects.map((effect) => effect.kind).join()).toBe(effects);
});

test("a savepoint that cannot be set on one branch ends the transaction on the others", () => {
  const both = [...OPENED, ask(2, on(S2)), admitted, ran(S2), ask(3, save), ran(S2)];
  const { state, effects } = run([...both, failed(S1)]);
  expect(state.kind).toBe("ended");
  expect(effects.at(-1)).toMatchObject({
    kind: "end",
    reason: { kind: "refused", shard: S1 },
    shards: [S2],
  });
});

test("a branch that was just sent its first statement is rolled back, one that was not is not asked", () => {
  const opening = [...OPENED, ask(2, on(S2))];
  expect(run([...opening, idle]).effects.at(-1)).toMatchObject({ shards: [S1] });
  expect(run([...opening, admitted, idle]).effects.at(-1)).toMatchObject({ shards: [S1, S2] });
});

test("a branch is opened with all savepoints that are set, the oldest first", () => {
  const events = [ask(1, save), ask(2, { ...save, name: "t" }), ask(3, save), ask(4, back)];
  const { effects } = run([...events, ask(5, on(S1)), admitted]);
  expect(effects.at(-1)).toMatchObject({
    kind: "send",
    opens: ["s", "t", "s"],
    outlivesFailure: true,
  });
});

const STEPS: readonly Step[] = [
  on(S1),
  on(S2),
  save,
  { kind: "savepoint", name: "t" },
  back,
  { kind: "rollbackTo", name: "t" },
  { kind: "release", name: "s" },
  { kind: "release", name: "t" },
];
const happenings = fc.oneof(
  fc.constantFrom(...STEPS).map((step) => ({ kind: "call", step }) as const),
  fc.constant({ kind: "commit" } as const),
  fc
    .constantFrom(admitted, { kind: "notAdmitted" } as const, ran(S1), ran(S2), failed(S1))
    .map((event) => ({ kind: "event", event }) as const),
  fc.constantFrom(idle, refused).map((event) => ({ kind: "event", event }) as const),
);

/** As the service does it: calls that are objected to are not made. */
function eventOf(
  state: InteractiveState,
  happening: typeof happenings extends fc.Arbitrary<infer Value> ? Value : never,
): InteractiveEvent | undefined {
  if (happening.kind === "event") return happening.event;
  if (state.kind !== "open" && state.kind !== "running") return undefined;
  if (happening.kind === "commit")
    return objectionToCommit(state) === null ? commitAsked : undefined;
  const seq = (state.kind === "open" ? (state.last?.seq ?? 0) : state.asked.seq) + 1;
  const next = asked(seq, happening.step);
  return judgeStep(state, next) === null ? { kind: "stepAsked", asked: next } : undefined;
}

test("in every history branches open once, savepoints are the same on all, and the end is one", () => {
  fc.assert(
    fc.property(fc.array(happenings, { maxLength: 40 }), (history) => {
      let state: InteractiveState = BEGUN;
      /** What each branch has been told to set. */
      const branches = new Map<ShardId, string[]>();
      let ends = 0;
      for (const happening of history) {
        const event = eventOf(state, happening);
        if (event === undefined) continue;
        const step = stepInteractive(state, event);
        state = step.state;
        for (const effect of step.effects) {
          if (effect.kind === "send") {
            for (const shard of effect.shards) tell(branches, shard, effect);
          }
          if (effect.kind === "end" || effect.kind === "handOver") ends += 1;
          if (effect.kind === "answerCommitted") expect(branches.size).toBe(0);
        }
        if (state.kind !== "open" || state.failure !== null) continue;
        expect([...branches.keys()].sort()).toEqual([...state.shards].sort());
        for (const savepoints of branches.values()) expect(savepoints).toEqual(state.savepoints);
      }
      expect(ends).toBeLessThanOrEqual(1);
    }),
    { numRuns: 2_000 },
  );
});

function tell(
  branches: Map<ShardId, string[]>,
  shard: ShardId,
  { opens, asked: { step } }: InteractiveEffect & { readonly kind: "send" },
): void {
  const known = branches.get(shard);
  expect(opens === null).toBe(known !== undefined);
  const savepoints = known ?? [...(opens ?? [])];
  branches.set(shard, savepoints);
  if (step.kind === "operation") return;
  if (step.kind === "savepoint") savepoints.push(step.name);
  else {
    const place = savepoints.lastIndexOf(step.name);
    expect(place).toBeGreaterThanOrEqual(0);
    savepoints.length = step.kind === "rollbackTo" ? place + 1 : place;
  }
}
