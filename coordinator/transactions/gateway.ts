/**
 * The port between the HTTP api and the coordinator's heart: what a request may ask of this node.
 *
 * Contract: `submit` answers on the leader only; elsewhere it rejects with `NotLeader` before anything has begun, and
 * the api forwards. Every other rejection is a `SynodError` whose outcome is true: `not_started` and `aborted` are
 * said only when no shard holds or will ever hold an effect.
 */
import type {
  OperationResult,
  ReadRequest,
  TransactionRequest,
  TransactionResponse,
  TransactionStatus,
} from "../../shared/model/api.ts";
import type { Ballot, NodeId, ShardId, Slot, TransactionId } from "../../shared/model/ids.ts";
import type { ListAnswer, ListRequest } from "../../shared/model/listing.ts";
import type {
  BeginRequest,
  BeginResponse,
  CommitBody,
  RollbackResponse,
  StepResponse,
} from "../../shared/model/interactive.ts";
import type { AskedStep } from "./interactive/machine.ts";
import type { Owner } from "./owner.ts";
import type { OutcomeAnswer, OutcomeInquiry } from "../../shared/model/inquiry.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";

export interface Submission {
  readonly request: TransactionRequest;
  readonly idempotency: Idempotency | null;
  /** Undefined: everybody's. */
  readonly owner?: Owner;
  /** The ballot of the leader that a forwarding node meant: whoever serves under another one has not begun. */
  readonly meantFor?: Ballot;
}

/** Who is heard to lead, and under which ballot. */
export interface LeaderHint {
  readonly node: NodeId;
  readonly ballot: Ballot;
}

export interface SubmissionAnswer {
  readonly response: TransactionResponse;
  /** The transaction committed earlier under the same idempotency key; this is its first answer. */
  readonly replayed: boolean;
  /** A shard has kept it under its key. */
  readonly isKeptByShard?: true;
}

/** Something that people must look at: the evidence of a shard contradicts a decision. */
export interface Incident {
  readonly kind: "participantLost";
  readonly shard: ShardId;
  readonly gid: string;
  readonly sentence: string;
}

export interface NodeView {
  readonly role: "leader" | "follower" | "candidate";
  /** Who leads, as far as this node hears; undefined during an election. */
  readonly leader: NodeId | undefined;
  readonly ballot: Ballot;
  /** True on a leader whose barrier is applied: it serves. On others: a leader was heard within the timeout. */
  readonly serving: boolean;
  readonly chosenUpTo: Slot;
  readonly appliedUpTo: Slot;
  readonly inFlight: number;
  readonly incidents: readonly Incident[];
}

/**
 * Interactive transactions. As `submit`, each of these is carried out on the leader only; what the ledger has decided is
 * answered anywhere. An error about a transaction that is over says what became of it.
 */
export interface InteractiveGateway {
  begin(request: BeginRequest, owner?: Owner): Promise<BeginResponse>;
  step(id: TransactionId, asked: AskedStep): Promise<StepAnswer>;
  /** Again and again the same, until the decision is forgotten. */
  commit(id: TransactionId, terms: CommitBody): Promise<TransactionResponse>;
  /** As `commit`. Resolves when every branch that could be reached has rolled back. */
  rollBack(id: TransactionId): Promise<RollbackResponse>;
}

export interface StepAnswer {
  readonly response: StepResponse;
  /** The step ran before; this is what it was answered with then. */
  readonly replayed: boolean;
}

export interface TransactionGateway {
  readonly interactive: InteractiveGateway;
  submit(submission: Submission): Promise<SubmissionAnswer>;
  /** The results of statements that only read, in order; every transaction is in all of them or in none (reads.ts). */
  read(request: ReadRequest): Promise<readonly OperationResult[]>;
  /** Rejects with `NotLeader` when only the leader can tell, with `not-found` when nobody can have been given the id. */
  status(id: TransactionId): Promise<TransactionStatus>;
  /** Rejects with `NotLeader`: what runs is known to the leader alone. Only ids that are let through are in the pages. */
  list(query: ListRequest, isVisible: (id: TransactionId) => boolean): Promise<ListAnswer>;
  /** What this node can say for certain; `undecided` where only the leader can tell. Never presumes too early. */
  outcomes(inquiry: OutcomeInquiry): OutcomeAnswer;
  view(): NodeView;
  /** Resolves true as soon as somebody (this node or another) leads and serves, false after `timeoutMs`. */
  awaitLeader(timeoutMs: number): Promise<boolean>;
}

export class NotLeader extends Error {
  override readonly name = "NotLeader";
  readonly leader: LeaderHint | undefined;

  constructor(leader: LeaderHint | undefined) {
    super(leader === undefined ? "no leader is known" : `node ${leader.node} leads`);
    this.leader = leader;
  }
}
