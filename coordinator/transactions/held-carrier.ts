/** A carrier as the leader holds it in memory (carriers.ts), and what it is made from. */
import type {
  OperationResult,
  TransactionRequest,
  TransactionResponse,
} from "../../shared/model/api.ts";
import type { Ballot, CarrierId, ShardId, TransactionId } from "../../shared/model/ids.ts";
import type { Cancel } from "../../shared/model/ports.ts";
import type {
  BranchOperation,
  ExecuteRequest,
  Idempotency,
  PrepareRequest,
} from "../../shared/model/protocol.ts";
import type { ReleasePlaces } from "./admission.ts";
import type { CarrierState, PlannedBranch } from "./transaction.ts";

export interface NewCarrier {
  readonly ballot: Ballot;
  readonly carrierId: CarrierId;
  readonly transactionId: TransactionId;
  readonly request: TransactionRequest;
  readonly idempotency: Idempotency | null;
  readonly release: ReleasePlaces;
}

/** An interactive transaction whose commit is asked for: its branches are open, and their results are told. */
export interface OpenCarrier extends Omit<NewCarrier, "request" | "idempotency"> {
  readonly branches: readonly OpenBranch[];
  readonly terms: CarrierTerms;
}

export interface OpenBranch extends PlannedBranch {
  /** Of the participant's incarnation that opened it. */
  readonly bootId: string;
}

export type CarrierTerms = Pick<TransactionRequest, "timeoutMs" | "waitFor">;

export interface HeldAs {
  readonly terms: CarrierTerms;
  readonly operations: ReadonlyMap<ShardId, readonly BranchOperation[]>;
  readonly idempotency: Idempotency | null;
  readonly plan: readonly PlannedBranch[];
  /** What makes a branch vote. */
  readonly voteRequest: (branch: PlannedBranch) => ExecuteRequest | PrepareRequest;
}

export interface Held extends Omit<NewCarrier, "request" | "idempotency">, HeldAs {
  readonly results: Map<ShardId, readonly OperationResult[]>;
  readonly resolve: (response: TransactionResponse) => void;
  readonly reject: (error: unknown) => void;
  readonly cancelDeadline: Cancel;
  readonly onFinal: (() => void)[];
  state: CarrierState;
  /** Branch messages whose end gives the places back. */
  unfinished: number;
  placesGivenBack: boolean;
}
