/**
 * The life of one branch, as a pure state machine. A state says what is owed next; branch-service.ts and its neighbours
 * do it and report what happened as an event.
 *
 *   executing ──► preparing ──► prepared ──► committing ──► ended(committed)
 *       │  │           │            └──────► aborting ────► ended(aborted)
 *       │  └► closing ─┼──────────────────────────────────► ended(readOnly)
 *       │              ├──► uncertain ──► undoing ─┐
 *       └──────────────┴───────────────────────────┴──────► ended(aborted)
 *
 * An interactive branch comes to `preparing` or `closing` in its own time, statement by statement:
 *
 *   running ◄──► open ──► preparing, closing          running, open ──► leaving ──► ended(aborted)
 *
 *   executing    run the statements                     (and PREPARE with them, when `sendsPrepare`)
 *   running      run one statement, or do something to a savepoint; the first one begins the branch
 *   open         nothing: it waits for the next step, and holds its locks
 *   leaving      ROLLBACK, in its own session: it ends without a vote
 *   preparing    PREPARE TRANSACTION
 *   closing      nothing was written: COMMIT
 *   prepared     nothing: in doubt until somebody who knows tells the decision
 *   uncertain    the answer to PREPARE was lost and the vote is no: fence, then look
 *   undoing      prepared, but the vote is no: ROLLBACK PREPARED. Allowed without asking anybody, because a decision to
 *                commit needs this branch's yes
 *   committing   COMMIT PREPARED                         aborting   ROLLBACK PREPARED
 *   contradicted nothing: what the shard says contradicts the decision; people must look
 */
import { assert, InvariantViolation, unreachable } from "../../shared/model/assert.ts";
import type { Xid } from "../../shared/model/ids.ts";
import type { Evidence, Refusal } from "../../shared/model/protocol.ts";
import type { XidStatus } from "../shard/shard.ts";

export type BranchState =
  | {
      readonly kind: "executing";
      /** PREPARE goes out, or has gone out, together with the statements. */
      readonly sendsPrepare: boolean;
      /** Why the branch is to end as soon as the statements have. */
      readonly stop: Refusal | null;
    }
  | { readonly kind: "running"; readonly stop: Refusal | null }
  | {
      readonly kind: "open";
      readonly xid: Xid | null;
      /** A statement failed under a savepoint: nothing is left but going back to one, or leaving. */
      readonly failure: Refusal | null;
    }
  | { readonly kind: "leaving"; readonly refusal: Refusal }
  | { readonly kind: "preparing"; readonly xid: Xid; readonly stop: Refusal | null }
  | { readonly kind: "closing" }
  | { readonly kind: "prepared"; readonly xid: Xid }
  | { readonly kind: "uncertain"; readonly refusal: Refusal }
  /** Without a refusal nothing was written, and the vote becomes readOnly. */
  | { readonly kind: "undoing"; readonly refusal: Refusal | null }
  | { readonly kind: "committing"; readonly xid: Xid }
  | { readonly kind: "aborting"; readonly xid: Xid }
  | Ended
  | { readonly kind: "contradicted"; readonly xid: Xid; readonly sentence: string };

export type Ended =
  | { readonly kind: "ended"; readonly outcome: "readOnly" }
  | {
      readonly kind: "ended";
      readonly outcome: "committed";
      readonly xid: Xid;
      readonly evidence: Evidence;
    }
  | {
      readonly kind: "ended";
      readonly outcome: "aborted";
      /** The vote, when it was no. */
      readonly refusal: Refusal | null;
      readonly xid: Xid | null;
    };

/** What became of the statements: the xid that they got, or why the branch cannot go on. */
export type Execution =
  | { readonly kind: "fine"; readonly xid: Xid | null }
  | { readonly kind: "refused"; readonly refusal: Refusal };

export interface Preparation {
  /** By the command tag alone. */
  readonly isPrepared: boolean;
  /** Why the vote cannot be yes, even if it is prepared. */
  readonly refusal: Refusal | null;
}

export type BranchEvent =
  | { readonly kind: "begun"; readonly sendsPrepare: boolean }
  /** `preparation`: null when PREPARE was not sent, or the server did not come to it. */
  | {
      readonly kind: "executed";
      readonly execution: Execution;
      readonly preparation: Preparation | null;
    }
  /** One step of an interactive branch was answered. `outlivesFailure`: a savepoint is there to go back to. */
  | { readonly kind: "ran"; readonly execution: Execution; readonly outlivesFailure: boolean }
  | { readonly kind: "stepRequested"; readonly goesBack: boolean }
  | { readonly kind: "prepareRequested" }
  /** The session is rolled back, or known to be lost. */
  | { readonly kind: "left" }
  | { readonly kind: "prepareAnswered"; readonly preparation: Preparation }
  | { readonly kind: "closed"; readonly refusal: Refusal | null }
  /** The shard did not answer; what was asked for may have happened. */
  | { readonly kind: "unreachable"; readonly refusal: Refusal }
  | { readonly kind: "stopRequested"; readonly refusal: Refusal }
  /** After the fence: whether the gid is prepared. */
  | { readonly kind: "looked"; readonly isPrepared: boolean }
  | { readonly kind: "commitDecided"; readonly xid: Xid }
  | { readonly kind: "abortDecided" }
  /** COMMIT PREPARED or ROLLBACK PREPARED was answered by its own tag. */
  | { readonly kind: "finished" }
  /** The gid does not exist; this is what the server remembers of the xid. */
  | { readonly kind: "gone"; readonly status: XidStatus };

export const BEGINNING: BranchState = { kind: "executing", sendsPrepare: false, stop: null };

/** An interactive branch, with its first step. */
export const OPENING: BranchState = { kind: "running", stop: null };

/** Found on the shard, or known from an earlier incarnation. */
export function foundBranch(xid: Xid): BranchState {
  return { kind: "prepared", xid };
}

export function isBeforeVote({ kind }: BranchState): boolean {
  return kind === "executing" || kind === "preparing" || kind === "closing" || isOpen(kind);
}

function isOpen(kind: BranchState["kind"]): boolean {
  return kind === "running" || kind === "open" || kind === "leaving";
}

export function step(state: BranchState, event: BranchEvent): BranchState {
  switch (state.kind) {
    case "executing":
      return stepExecuting(state, event);
    case "running":
    case "open":
    case "leaving":
      return stepInteractive(state, event);
    case "preparing":
      return stepPreparing(state, event);
    case "closing":
      if (event.kind === "closed") return event.refusal === null ? READ_ONLY : no(event.refusal);
      if (event.kind === "unreachable") return no(event.refusal);
      return unexpected(state, event);
    case "uncertain":
      if (event.kind === "looked") {
        return event.isPrepared ? { ...state, kind: "undoing" } : no(state.refusal);
      }
      return event.kind === "unreachable" ? state : unexpected(state, event);
    case "undoing":
      return stepUndoing(state, event);
    case "prepared":
      return stepPrepared(state, event);
    case "committing":
      return stepCommitting(state, event);
    case "aborting":
      return stepAborting(state, event);
    case "ended":
    case "contradicted":
      return unexpected(state, event);
    default:
      return unreachable(state);
  }
}

const READ_ONLY: BranchState = { kind: "ended", outcome: "readOnly" };

function no(refusal: Refusal): BranchState {
  return { kind: "ended", outcome: "aborted", refusal, xid: null };
}

/** A stop that comes too late changes nothing; anything else unexpected is a mistake of ours. */
function unexpected(state: BranchState, event: BranchEvent): BranchState {
  if (event.kind === "stopRequested") return state;
  throw new InvariantViolation(`a branch that is ${state.kind} does not meet "${event.kind}"`);
}

function stepExecuting(
  state: BranchState & { kind: "executing" },
  event: BranchEvent,
): BranchState {
  if (event.kind === "begun") return { ...state, sendsPrepare: event.sendsPrepare };
  if (event.kind === "stopRequested") return { ...state, stop: state.stop ?? event.refusal };
  if (event.kind === "executed") {
    return afterExecution(state.stop, event.execution, event.preparation);
  }
  if (event.kind !== "unreachable") return unexpected(state, event);
  const refusal = state.stop ?? event.refusal;
  return state.sendsPrepare ? { kind: "uncertain", refusal } : no(refusal);
}

function stepInteractive(
  state: BranchState & { kind: "running" | "open" | "leaving" },
  event: BranchEvent,
): BranchState {
  switch (state.kind) {
    case "running":
      return stepRunning(state, event);
    case "open":
      return stepOpen(state, event);
    case "leaving":
      return event.kind === "left" ? no(state.refusal) : unexpected(state, event);
    default:
      return unreachable(state);
  }
}

/** In whatever way an open branch loses its step or its session, nothing of it can be prepared. */
function stepRunning(state: BranchState & { kind: "running" }, event: BranchEvent): BranchState {
  if (event.kind === "stopRequested") return { ...state, stop: state.stop ?? event.refusal };
  if (event.kind === "unreachable") {
    return { kind: "leaving", refusal: state.stop ?? event.refusal };
  }
  if (event.kind !== "ran") return unexpected(state, event);
  const { execution, outlivesFailure } = event;
  if (state.stop !== null) return { kind: "leaving", refusal: state.stop };
  if (execution.kind === "fine") return { kind: "open", xid: execution.xid, failure: null };
  const { refusal } = execution;
  return outlivesFailure
    ? { kind: "open", xid: null, failure: refusal }
    : { kind: "leaving", refusal };
}

function stepOpen(state: BranchState & { kind: "open" }, event: BranchEvent): BranchState {
  const { xid, failure } = state;
  if (event.kind === "stopRequested") return { kind: "leaving", refusal: event.refusal };
  if (event.kind === "stepRequested") {
    assert(failure === null || event.goesBack, "a failed branch only goes back");
    return { kind: "running", stop: null };
  }
  if (event.kind !== "prepareRequested") return unexpected(state, event);
  if (failure !== null) return { kind: "leaving", refusal: failure };
  return xid === null ? { kind: "closing" } : { kind: "preparing", xid, stop: null };
}

function afterExecution(
  stop: Refusal | null,
  execution: Execution,
  preparation: Preparation | null,
): BranchState {
  const refusal = stop ?? (execution.kind === "refused" ? execution.refusal : null);
  if (preparation !== null) return afterPrepare(preparation, refusal, execution);
  if (refusal !== null) return no(refusal);
  assert(execution.kind === "fine", "without a refusal the execution is fine");
  if (execution.xid === null) return { kind: "closing" };
  return { kind: "preparing", xid: execution.xid, stop: null };
}

function afterPrepare(
  preparation: Preparation,
  earlier: Refusal | null,
  execution: Execution,
): BranchState {
  const refusal = earlier ?? preparation.refusal;
  if (!preparation.isPrepared) {
    assert(refusal !== null, "what is not prepared has a reason");
    return no(refusal);
  }
  if (refusal !== null) return { kind: "undoing", refusal };
  assert(execution.kind === "fine", "without a refusal the execution is fine");
  if (execution.xid === null) return { kind: "undoing", refusal: null };
  return { kind: "prepared", xid: execution.xid };
}

function stepPreparing(
  state: BranchState & { kind: "preparing" },
  event: BranchEvent,
): BranchState {
  const { xid, stop } = state;
  if (event.kind === "stopRequested") return { ...state, stop: stop ?? event.refusal };
  if (event.kind === "unreachable") return { kind: "uncertain", refusal: stop ?? event.refusal };
  if (event.kind !== "prepareAnswered") return unexpected(state, event);
  return afterPrepare(event.preparation, stop, { kind: "fine", xid });
}

function stepUndoing(state: BranchState & { kind: "undoing" }, event: BranchEvent): BranchState {
  if (event.kind === "finished" || event.kind === "gone") {
    return state.refusal === null ? READ_ONLY : no(state.refusal);
  }
  if (event.kind !== "unreachable") return unexpected(state, event);
  return state.refusal === null ? { kind: "undoing", refusal: event.refusal } : state;
}

function stepPrepared(state: BranchState & { kind: "prepared" }, event: BranchEvent): BranchState {
  if (event.kind === "abortDecided") return { kind: "aborting", xid: state.xid };
  if (event.kind !== "commitDecided") return unexpected(state, event);
  assert(event.xid === state.xid, "only the branch that was voted for is committed");
  return { kind: "committing", xid: state.xid };
}

function stepCommitting(
  state: BranchState & { kind: "committing" },
  event: BranchEvent,
): BranchState {
  const { xid } = state;
  if (event.kind === "finished") {
    return { kind: "ended", outcome: "committed", xid, evidence: "commandTag" };
  }
  if (event.kind === "unreachable") return state;
  if (event.kind !== "gone") return unexpected(state, event);
  return afterLostCommit(state, event.status);
}

/** "Does not exist" is not "committed": only the server's record of the xid can tell. */
function afterLostCommit(
  state: BranchState & { kind: "committing" },
  status: XidStatus,
): BranchState {
  const { xid } = state;
  switch (status) {
    case "committed":
      return { kind: "ended", outcome: "committed", xid, evidence: "transactionStatus" };
    case "in progress":
      return state;
    case "aborted":
    case "forgotten":
      return {
        kind: "contradicted",
        xid,
        sentence: `decided to commit, but it is not prepared and the status of transaction ${xid} is "${status}"`,
      };
    default:
      return unreachable(status);
  }
}

function stepAborting(state: BranchState & { kind: "aborting" }, event: BranchEvent): BranchState {
  const { xid } = state;
  const aborted: BranchState = { kind: "ended", outcome: "aborted", refusal: null, xid };
  if (event.kind === "finished") return aborted;
  if (event.kind === "unreachable") return state;
  if (event.kind !== "gone") return unexpected(state, event);
  if (event.status === "in progress") return state;
  if (event.status !== "committed") return aborted;
  const sentence = `decided to abort, but transaction ${xid} is committed`;
  return { kind: "contradicted", xid, sentence };
}
