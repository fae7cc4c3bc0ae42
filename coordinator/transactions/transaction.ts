/**
 * Two-phase commit of one carrier, as a pure state machine: `step(state, event) → {state, effects}`.
 *
 *             all votes in, some prepared            commit applied               all confirmed
 *    voting ──────────────────────────────▶ deciding ──────────────▶ committing ────────────────▶ ended(committed)
 *      │  │                                    │                          (answer: see below)
 *      │  └── all votes read-only ─────────────│──────────────────────────────────────────────▶ ended(committed)
 *      │                                       └── void, or never proposed ───▶ ended(aborted)
 *      └── a no, a lost link, the deadline, a deadlock, leadership lost ─────────────────────▶ ended(aborted)
 *
 * Rules that the shape enforces:
 * - `proposeCommit` happens at most once, and only with every vote in (T2). After it nobody may abort: only the applied
 *   command tells (T3). The deadline then ends the client's waiting (`answerUnknown`), not the carrier.
 * - Abort needs no log entry: branches are told once, and whoever is not told asks (presumed abort).
 * - With `waitFor: applied` the answer waits until every branch has either confirmed or proved unreachable.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import type { GlobalId, ShardId, Xid } from "../../shared/model/ids.ts";
import type { Refusal, Vote } from "../../shared/model/protocol.ts";
import type { DecidedBranch } from "./command.ts";

/** Results per member, as a branch reported them. */
type BranchResults = readonly (readonly OperationResult[])[];

export interface PlannedBranch {
  readonly shard: ShardId;
  readonly gid: GlobalId;
}

type Ballotted =
  | { readonly kind: "awaited" }
  | { readonly kind: "prepared"; readonly xid: Xid; readonly results: BranchResults }
  | { readonly kind: "readOnly"; readonly results: BranchResults };

export interface Voting {
  readonly kind: "voting";
  readonly plan: readonly PlannedBranch[];
  readonly votes: ReadonlyMap<ShardId, Ballotted>;
}

export interface Deciding {
  readonly kind: "deciding";
  readonly branches: readonly DecidedBranch[];
  readonly answered: boolean;
}

export interface Committing {
  readonly kind: "committing";
  /** Branches whose first delivery has not ended. */
  readonly delivering: readonly ShardId[];
  /** Branches that could not be reached; they are delivered later. */
  readonly pending: readonly ShardId[];
  readonly answered: boolean;
}

export interface Ended {
  readonly kind: "ended";
}

export type CarrierState = Voting | Deciding | Committing | Ended;

export type CarrierEvent =
  | { readonly kind: "voted"; readonly shard: ShardId; readonly vote: Vote }
  /** The branch's shard could not be asked, or did not answer: it may be prepared or not. */
  | { readonly kind: "unreachable"; readonly shard: ShardId }
  | { readonly kind: "deadline" }
  /** It waits for others that wait for it, and is the one to give way. */
  | { readonly kind: "deadlocked" }
  | { readonly kind: "leadershipLost" }
  /** The commit command was certainly not handed to the log. */
  | { readonly kind: "notProposed"; readonly reason: NotProposed }
  /** The commit command was applied, or a barrier that makes it void for ever, or a snapshot that covers both. */
  | { readonly kind: "applied"; readonly outcome: AppliedOutcome }
  /** First delivery of the commit to a branch ended. */
  | { readonly kind: "delivered"; readonly shard: ShardId; readonly confirmed: boolean };

/** `forgotten`: decided so long ago that nobody knows how any more, so no branch is told anything. */
export type AppliedOutcome = "committed" | "void" | "forgotten";

export type CarrierEffect =
  | { readonly kind: "proposeCommit"; readonly branches: readonly DecidedBranch[] }
  /** Deliver the decision, and keep trying until the branch confirms. */
  | { readonly kind: "commitBranches"; readonly branches: readonly DecidedBranch[] }
  | { readonly kind: "abortBranches"; readonly branches: readonly PlannedBranch[] }
  | { readonly kind: "answerCommitted"; readonly pending: readonly ShardId[] }
  | { readonly kind: "answerAborted"; readonly reason: AbortReason }
  | { readonly kind: "answerUnknown" };

export type NotProposed = { readonly kind: "leadershipLost" } | { readonly kind: "resultTooLarge" };

export type AbortReason =
  | NotProposed
  | { readonly kind: "refused"; readonly shard: ShardId; readonly refusal: Refusal }
  | { readonly kind: "unreachable"; readonly shard: ShardId }
  | { readonly kind: "deadline" }
  | { readonly kind: "deadlock" };

export interface CarrierStep {
  readonly state: CarrierState;
  readonly effects: readonly CarrierEffect[];
}

const ENDED: Ended = { kind: "ended" };
const unchanged = (state: CarrierState): CarrierStep => ({ state, effects: [] });

export function beginCarrier(plan: readonly PlannedBranch[]): Voting {
  return {
    kind: "voting",
    plan,
    votes: new Map(plan.map(({ shard }) => [shard, { kind: "awaited" }])),
  };
}

/** Those that have not voted. */
export function awaitedShards({ votes }: Voting): readonly ShardId[] {
  return [...votes].flatMap(([shard, { kind }]) => (kind === "awaited" ? [shard] : []));
}

export interface CarrierOptions {
  readonly waitFor: "applied" | "decided";
}

export function stepCarrier(
  state: CarrierState,
  event: CarrierEvent,
  options: CarrierOptions,
): CarrierStep {
  switch (state.kind) {
    case "voting":
      return whileVoting(state, event);
    case "deciding":
      return whileDeciding(state, event, options);
    case "committing":
      return whileCommitting(state, event);
    case "ended":
      return unchanged(state);
    default:
      return unreachable(state);
  }
}

function whileVoting(state: Voting, event: CarrierEvent): CarrierStep {
  switch (event.kind) {
    case "voted":
      return onVote(state, event.shard, event.vote);
    case "unreachable":
      return abort(state, { kind: "unreachable", shard: event.shard });
    case "deadline":
      return abort(state, { kind: "deadline" });
    case "deadlocked":
      return abort(state, { kind: "deadlock" });
    case "leadershipLost":
      return abort(state, { kind: "leadershipLost" });
    case "notProposed":
    case "applied":
    case "delivered":
      return unchanged(state);
    default:
      return unreachable(event);
  }
}

function onVote(state: Voting, shard: ShardId, vote: Vote): CarrierStep {
  if (state.votes.get(shard)?.kind !== "awaited") return unchanged(state);
  if (vote.kind === "no")
    return abort(state, { kind: "refused", shard, refusal: vote.refusal }, shard);
  const votes = new Map(state.votes).set(shard, vote);
  if ([...votes.values()].some((ballotted) => ballotted.kind === "awaited")) {
    return unchanged({ ...state, votes });
  }
  const branches = preparedBranches({ ...state, votes });
  if (branches.length === 0) {
    return { state: ENDED, effects: [{ kind: "answerCommitted", pending: [] }] };
  }
  return {
    state: { kind: "deciding", branches, answered: false },
    effects: [{ kind: "proposeCommit", branches }],
  };
}

function preparedBranches({ plan, votes }: Voting): readonly DecidedBranch[] {
  return plan.flatMap(({ shard, gid }) => {
    const vote = votes.get(shard);
    return vote?.kind === "prepared" ? [{ shard, gid, xid: vote.xid }] : [];
  });
}

/** Tells every branch that is or may become prepared; one that refused has rolled itself back. */
function abort(state: Voting, reason: AbortReason, refusedBy?: ShardId): CarrierStep {
  const branches = state.plan.filter(
    ({ shard }) => shard !== refusedBy && state.votes.get(shard)?.kind !== "readOnly",
  );
  return {
    state: ENDED,
    effects: [
      { kind: "answerAborted", reason },
      { kind: "abortBranches", branches },
    ],
  };
}

function whileDeciding(
  state: Deciding,
  event: CarrierEvent,
  { waitFor }: CarrierOptions,
): CarrierStep {
  switch (event.kind) {
    case "deadline":
      return state.answered
        ? unchanged(state)
        : { state: { ...state, answered: true }, effects: [{ kind: "answerUnknown" }] };
    case "applied":
      return onApplied(state, event.outcome, waitFor);
    case "notProposed":
      return undone(state, event.reason);
    case "voted":
    case "unreachable":
    case "deadlocked":
    case "leadershipLost":
    case "delivered":
      return unchanged(state);
    default:
      return unreachable(event);
  }
}

function onApplied(
  state: Deciding,
  outcome: AppliedOutcome,
  waitFor: CarrierOptions["waitFor"],
): CarrierStep {
  switch (outcome) {
    case "committed":
      return committed(state, waitFor);
    case "void":
      return undone(state, { kind: "leadershipLost" });
    case "forgotten":
      return { state: ENDED, effects: state.answered ? [] : [{ kind: "answerUnknown" }] };
    default:
      return unreachable(outcome);
  }
}

function committed(state: Deciding, waitFor: CarrierOptions["waitFor"]): CarrierStep {
  const delivering = state.branches.map(({ shard }) => shard);
  const answersNow = !state.answered && waitFor === "decided";
  const effects: CarrierEffect[] = [{ kind: "commitBranches", branches: state.branches }];
  if (answersNow) effects.unshift({ kind: "answerCommitted", pending: delivering });
  return {
    state: {
      kind: "committing",
      delivering,
      pending: [],
      answered: state.answered || answersNow,
    },
    effects,
  };
}

function undone(state: Deciding, reason: AbortReason): CarrierStep {
  const effects: CarrierEffect[] = [{ kind: "abortBranches", branches: state.branches }];
  if (!state.answered) effects.unshift({ kind: "answerAborted", reason });
  return { state: ENDED, effects };
}

function whileCommitting(state: Committing, event: CarrierEvent): CarrierStep {
  switch (event.kind) {
    case "delivered": {
      if (!state.delivering.includes(event.shard)) return unchanged(state);
      const delivering = state.delivering.filter((shard) => shard !== event.shard);
      const pending = event.confirmed ? state.pending : [...state.pending, event.shard];
      if (delivering.length > 0) return unchanged({ ...state, delivering, pending });
      return {
        state: ENDED,
        effects: state.answered ? [] : [{ kind: "answerCommitted", pending }],
      };
    }
    case "deadline":
      return state.answered
        ? unchanged(state)
        : {
            state: { ...state, answered: true },
            effects: [
              { kind: "answerCommitted", pending: [...state.delivering, ...state.pending] },
            ],
          };
    case "voted":
    case "unreachable":
    case "deadlocked":
    case "leadershipLost":
    case "notProposed":
    case "applied":
      return unchanged(state);
    default:
      return unreachable(event);
  }
}
