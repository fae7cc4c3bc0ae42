/** A carrier as the leader holds it in memory (carriers.ts), and what it is made from. */
import type { OperationResult, TransactionRequest } from "../../shared/model/api.ts";
import type { Ballot, CarrierId, ShardId, TransactionId } from "../../shared/model/ids.ts";
import type { Cancel } from "../../shared/model/ports.ts";
import type {
  BranchOperation,
  ExecuteRequest,
  Idempotency,
  PrepareRequest,
} from "../../shared/model/protocol.ts";
import type { ReleasePlaces } from "./admission.ts";
import type { CarrierAnswer } from "./answer.ts";
import type { CarrierState, PlannedBranch } from "./transaction.ts";

/** One transaction. */
export interface CarrierMember {
  readonly transactionId: TransactionId;
  /** On each of its shards; empty lists when their results are told already. */
  readonly operations: ReadonlyMap<ShardId, readonly BranchOperation[]>;
  readonly idempotency: Idempotency | null;
}

export type Members = readonly [CarrierMember, ...CarrierMember[]];

interface AnyCarrier {
  readonly ballot: Ballot;
  readonly carrierId: CarrierId;
  readonly terms: CarrierTerms;
  readonly release: ReleasePlaces;
}

export interface NewCarrier extends AnyCarrier {
  /** All on the same shards, and run there in this order. */
  readonly members: Members;
  readonly limits: ExecutionLimits;
  /** Called once for each shard: with its vote, or when it is known that none comes. */
  readonly whenVoted?: (shard: ShardId) => void;
}

export type ExecutionLimits = Pick<ExecuteRequest, "isolation" | "timeoutMs" | "lockTimeoutMs">;

/** An interactive transaction whose commit is asked for: its branches are open, and their results are told. */
export interface OpenCarrier extends AnyCarrier {
  readonly transactionId: TransactionId;
  readonly branches: readonly OpenBranch[];
}

export interface OpenBranch extends PlannedBranch {
  /** Of the participant's incarnation that opened it. */
  readonly bootId: string;
}

export type CarrierTerms = Pick<TransactionRequest, "timeoutMs" | "waitFor">;

export interface HeldAs {
  readonly members: Members;
  readonly plan: readonly PlannedBranch[];
  /** What makes a branch vote. */
  readonly voteRequest: (branch: PlannedBranch) => ExecuteRequest | PrepareRequest;
  readonly whenVoted: (shard: ShardId) => void;
}

export interface Held extends AnyCarrier, HeldAs {
  /** By the monotonic clock. */
  readonly beganAtMs: number;
  /** Of each member, in their order. */
  readonly results: Map<ShardId, readonly (readonly OperationResult[])[]>;
  readonly answer: (answer: CarrierAnswer) => void;
  readonly cancelDeadline: Cancel;
  readonly onFinal: (() => void)[];
  state: CarrierState;
  /** Branch messages whose end gives the places back. */
  unfinished: number;
  placesGivenBack: boolean;
}
