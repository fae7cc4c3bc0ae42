/**
 * An interactive transaction until its commit is asked for, as a pure state machine.
 *
 *            a step is asked for              the commit is asked for
 *    open ──────────────────────▶ running          open ──────────────▶ handedOver (carriers.ts: votes, decision)
 *     ▲  every branch has answered   │              │
 *     └──────────────────────────────┘              └── nothing was run at all ──▶ ended(committed)
 *
 *    opening ── the snapshots of all shards that it may use agree ──▶ open
 *
 *    opening, open, running ── rolled back, a time limit, a deadlock, leadership or a branch lost, an unmendable failure ──▶ ended
 *
 * Rules that the shape enforces:
 * - One step at a time, and each once: it has the next `seq`, or is the last one again.
 * - A branch is opened by the first statement on its shard, with all savepoints that are set then; later ones are set on
 *   every branch. So a savepoint means the same moment on all shards. With isolation `snapshot` all are opened before
 *   anything else, and none later.
 * - After a statement that failed under a savepoint nothing is run but going back.
 * - Nothing is prepared before the commit is asked for, and the commit is handed over once. So until then whatever ends the
 *   transaction may call it aborted.
 */
import { assert, unreachable } from "../../../shared/model/assert.ts";
import type { ErrorCode } from "../../../shared/model/errors.ts";
import type { ShardId } from "../../../shared/model/ids.ts";
import { type CommitBody, INTERACTIVE_LIMITS } from "../../../shared/model/interactive.ts";
import type { BranchOperation, Refusal } from "../../../shared/model/protocol.ts";

export type Step =
  | { readonly kind: "operation"; readonly shard: ShardId; readonly operation: BranchOperation }
  | { readonly kind: "savepoint" | "rollbackTo" | "release"; readonly name: string };

/** What a client asks for, with a fingerprint of all of it. */
export interface AskedStep {
  readonly seq: number;
  readonly fingerprint: string;
  readonly step: Step;
}

/** Branches are opened on these, until their snapshots agree. */
export interface Opening {
  readonly kind: "opening";
  readonly shards: readonly ShardId[];
}

export interface Open {
  readonly kind: "open";
  /** The last step; null before the first. */
  readonly last: AskedStep | null;
  /** Where branches are open. */
  readonly shards: readonly ShardId[];
  /** No others are opened. */
  readonly isOnSnapshot: boolean;
  /** The oldest first; a name may occur again. */
  readonly savepoints: readonly string[];
  /** A statement has failed since the last savepoint: in the words of the shard. */
  readonly failure: string | null;
}

export interface Running {
  readonly kind: "running";
  readonly before: Open;
  readonly asked: AskedStep;
  /** Null while a place for a new branch is waited for: nothing has been sent. */
  readonly awaited: readonly ShardId[] | null;
  readonly failure: string | null;
}

/** Nothing is handed over. */
export type BeforeCommit = Opening | Open | Running;

export type InteractiveState =
  BeforeCommit | { readonly kind: "handedOver" } | { readonly kind: "ended" };

export type EndReason =
  | { readonly kind: "refused"; readonly shard: ShardId; readonly refusal: Refusal }
  /** A step was not answered. */
  | { readonly kind: "unreachable"; readonly shard: ShardId }
  | { readonly kind: "participantLost"; readonly shard: ShardId }
  /** The shards' snapshots have not come to agree. */
  | { readonly kind: "noAgreement" }
  | { readonly kind: "rolledBack" | "idle" | "tooLong" | "deadlock" | "leadershipLost" };

export type InteractiveEvent =
  /** The snapshots agree. */
  | { readonly kind: "opened" }
  /** Only a step to which `judgeStep` has no objection. */
  | { readonly kind: "stepAsked"; readonly asked: AskedStep }
  /** Whether there is a place for a new branch. */
  | { readonly kind: "admitted" | "notAdmitted" }
  | { readonly kind: "ran"; readonly shard: ShardId }
  | { readonly kind: "failed"; readonly shard: ShardId; readonly refusal: Refusal }
  /** Only where `objectionToCommit` has none. */
  | { readonly kind: "commitAsked"; readonly terms: CommitBody }
  | { readonly kind: "ends"; readonly reason: EndReason };

export type InteractiveEffect =
  /** A place for a branch on this shard is needed. */
  | { readonly kind: "admit"; readonly shard: ShardId }
  | {
      readonly kind: "send";
      readonly asked: AskedStep;
      readonly shards: readonly ShardId[];
      /** Savepoints to open the branch with; null where branches are open already. */
      readonly opens: readonly string[] | null;
      readonly outlivesFailure: boolean;
    }
  | { readonly kind: "answerRan" }
  | { readonly kind: "answerFailed"; readonly shard: ShardId; readonly refusal: Refusal }
  | { readonly kind: "handOver"; readonly terms: CommitBody }
  | { readonly kind: "answerCommitted" }
  /** Whoever waits for a step is told; branches on `shards` are rolled back. */
  | { readonly kind: "end"; readonly reason: EndReason; readonly shards: readonly ShardId[] };

export interface InteractiveStep {
  readonly state: InteractiveState;
  readonly effects: readonly InteractiveEffect[];
}

/** Why a call is not carried out; the transaction goes on as if it had not been made. */
export interface Objection {
  readonly code: ErrorCode;
  readonly sentence: string;
  /** Of the client's body. */
  readonly field?: string;
}

export const BEGUN: Open = {
  kind: "open",
  last: null,
  shards: [],
  isOnSnapshot: false,
  savepoints: [],
  failure: null,
};

/** Where a step has been sent to and has not been answered. */
export function awaitedShards(state: InteractiveState): readonly ShardId[] {
  return state.kind === "running" ? (state.awaited ?? []) : [];
}

const unchanged = (state: InteractiveState): InteractiveStep => ({ state, effects: [] });

/** `repeated`: the last step again. Null: nothing is to be said against it. */
export function judgeStep(
  state: BeforeCommit,
  { seq, fingerprint, step }: AskedStep,
): "repeated" | Objection | null {
  if (state.kind === "opening") return NOT_OPEN_YET;
  const last = state.kind === "running" ? state.asked : state.last;
  const lastSeq = last?.seq ?? 0;
  if (seq === lastSeq) {
    return fingerprint === last?.fingerprint
      ? "repeated"
      : conflict(`step ${seq} was asked for before, with another body`);
  }
  if (state.kind === "running") return conflict(`step ${lastSeq} still runs`);
  if (seq !== lastSeq + 1)
    return conflict(`seq ${seq} does not follow: the next one is ${lastSeq + 1}`);
  if (state.failure !== null && step.kind !== "rollbackTo") return failed(state.failure);
  return step.kind === "operation"
    ? objectionToShard(state, step.shard)
    : objectionToSavepoint(state, step);
}

const NOT_OPEN_YET = conflict("the transaction is not open yet");

function objectionToShard({ shards, isOnSnapshot }: Open, shard: ShardId): Objection | null {
  if (!isOnSnapshot || shards.includes(shard)) return null;
  const sentence = `the transaction's snapshot is of ${shards.join(", ")}, as its begin named them`;
  return { code: "invalid-request", sentence, field: "shard" };
}

function conflict(sentence: string): Objection {
  return { code: "sequence-conflict", sentence, field: "seq" };
}

function failed(failure: string): Objection {
  const sentence = `a statement has failed (${failure}): go back to a savepoint, or roll back`;
  return { code: "transaction-failed", sentence };
}

function objectionToSavepoint(
  { savepoints }: Open,
  { kind, name }: Exclude<Step, { readonly kind: "operation" }>,
): Objection | null {
  if (kind !== "savepoint") {
    if (savepoints.includes(name)) return null;
    return { code: "invalid-request", sentence: `no savepoint "${name}" is set`, field: kind };
  }
  const { maxSavepoints } = INTERACTIVE_LIMITS;
  if (savepoints.length < maxSavepoints) return null;
  const sentence = `${maxSavepoints} savepoints are set, and no more can be`;
  return { code: "invalid-request", sentence, field: kind };
}

export function objectionToCommit(state: BeforeCommit): Objection | null {
  if (state.kind === "opening") return NOT_OPEN_YET;
  if (state.kind === "running") return conflict(`step ${state.asked.seq} still runs`);
  return state.failure === null ? null : failed(state.failure);
}

export function stepInteractive(state: InteractiveState, event: InteractiveEvent): InteractiveStep {
  switch (state.kind) {
    case "opening":
      return whileOpening(state, event);
    case "open":
      return whileOpen(state, event);
    case "running":
      return whileRunning(state, event);
    case "handedOver":
    case "ended":
      return unchanged(state);
    default:
      return unreachable(state);
  }
}

function whileOpening(state: Opening, event: InteractiveEvent): InteractiveStep {
  switch (event.kind) {
    case "opened":
      return {
        state: { ...BEGUN, shards: state.shards, isOnSnapshot: true },
        effects: [{ kind: "answerRan" }],
      };
    case "ends":
      return end(state.shards, event.reason);
    case "stepAsked":
    case "commitAsked":
    case "admitted":
    case "notAdmitted":
    case "ran":
    case "failed":
      return unchanged(state);
    default:
      return unreachable(event);
  }
}

function whileOpen(state: Open, event: InteractiveEvent): InteractiveStep {
  switch (event.kind) {
    case "stepAsked":
      return begin(state, event.asked);
    case "commitAsked":
      assert(objectionToCommit(state) === null, "a failed transaction is not committed");
      if (state.shards.length === 0) {
        return { state: { kind: "ended" }, effects: [{ kind: "answerCommitted" }] };
      }
      return {
        state: { kind: "handedOver" },
        effects: [{ kind: "handOver", terms: event.terms }],
      };
    case "ends":
      return end(state.shards, event.reason);
    case "opened":
    case "admitted":
    case "notAdmitted":
    case "ran":
    case "failed":
      return unchanged(state);
    default:
      return unreachable(event);
  }
}

function begin(before: Open, asked: AskedStep): InteractiveStep {
  assert(judgeStep(before, asked) === null, "a step is begun in its turn");
  const { step } = asked;
  if (step.kind === "operation" && !before.shards.includes(step.shard)) {
    return {
      state: { kind: "running", before, asked, awaited: null, failure: null },
      effects: [{ kind: "admit", shard: step.shard }],
    };
  }
  const shards = step.kind === "operation" ? [step.shard] : before.shards;
  if (shards.length === 0) {
    return { state: after(before, asked, null), effects: [{ kind: "answerRan" }] };
  }
  return send(before, asked, shards, null);
}

function send(
  before: Open,
  asked: AskedStep,
  shards: readonly ShardId[],
  opens: readonly string[] | null,
): InteractiveStep {
  const outlivesFailure = asked.step.kind === "operation" && before.savepoints.length > 0;
  return {
    state: { kind: "running", before, asked, awaited: shards, failure: null },
    effects: [{ kind: "send", asked, shards, opens, outlivesFailure }],
  };
}

function after(before: Open, asked: AskedStep, failure: string | null): Open {
  const { step } = asked;
  const opened = step.kind === "operation" && !before.shards.includes(step.shard);
  return {
    kind: "open",
    last: asked,
    shards: opened ? [...before.shards, step.shard] : before.shards,
    isOnSnapshot: before.isOnSnapshot,
    savepoints: step.kind === "operation" ? before.savepoints : changed(before.savepoints, step),
    failure,
  };
}

/** As SQL has it: going back keeps the savepoint, releasing drops it, and both drop what was set after it. */
function changed(
  savepoints: readonly string[],
  { kind, name }: Exclude<Step, { readonly kind: "operation" }>,
): readonly string[] {
  if (kind === "savepoint") return [...savepoints, name];
  const place = savepoints.lastIndexOf(name);
  return savepoints.slice(0, kind === "rollbackTo" ? place + 1 : place);
}

function whileRunning(state: Running, event: InteractiveEvent): InteractiveStep {
  switch (event.kind) {
    case "admitted": {
      const { before, asked, awaited } = state;
      if (awaited !== null) return unchanged(state);
      assert(asked.step.kind === "operation", "only a statement opens a branch");
      return send(before, asked, [asked.step.shard], before.savepoints);
    }
    case "notAdmitted":
      return unchanged(state.awaited === null ? state.before : state);
    case "ran":
      return answered(state, event.shard, state.failure);
    case "failed":
      return onFailure(state, event.shard, event.refusal);
    case "ends":
      return endRunning(state, event.reason);
    case "opened":
    case "stepAsked":
    case "commitAsked":
      return unchanged(state);
    default:
      return unreachable(event);
  }
}

function answered(state: Running, shard: ShardId, failure: string | null): InteractiveStep {
  if (state.awaited?.includes(shard) !== true) return unchanged(state);
  const awaited = state.awaited.filter((other) => other !== shard);
  if (awaited.length > 0) return unchanged({ ...state, awaited, failure });
  const effects: InteractiveEffect[] = failure === null ? [{ kind: "answerRan" }] : [];
  return { state: after(state.before, state.asked, failure), effects };
}

/** Only statements outlive their failure: a savepoint that cannot be set or gone back to is no savepoint. */
function onFailure(state: Running, shard: ShardId, refusal: Refusal): InteractiveStep {
  if (state.awaited?.includes(shard) !== true) return unchanged(state);
  if (state.asked.step.kind !== "operation") {
    return endRunning(state, { kind: "refused", shard, refusal });
  }
  const { state: next } = answered(state, shard, refusal.sentence);
  return { state: next, effects: [{ kind: "answerFailed", shard, refusal }] };
}

function endRunning(state: Running, reason: EndReason): InteractiveStep {
  const { step } = state.asked;
  const opening = state.awaited !== null && step.kind === "operation" ? [step.shard] : [];
  return end([...new Set([...state.before.shards, ...opening])], reason);
}

/** A branch that refused has rolled itself back. */
function end(shards: readonly ShardId[], reason: EndReason): InteractiveStep {
  const left = reason.kind === "refused" ? reason.shard : undefined;
  return {
    state: { kind: "ended" },
    effects: [{ kind: "end", reason, shards: shards.filter((shard) => shard !== left) }],
  };
}
