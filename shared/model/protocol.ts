/**
 * What coordinators and participants say to each other, as zod schemas which are also the types.
 *
 *   coordinator → participant, over one multiplexed socket       participant → coordinator (reply)
 *   ----------------------------------------------------------   --------------------------------------------
 *   execute   run a branch, then prepare it                       prepared | readOnly | no
 *   executeOnePhase   run the only branch, then commit it         committed | readOnly | no
 *   commit    the decision is commit                              committed (with evidence) | lost | retry
 *   abort     the decision is abort                               aborted | lost | retry
 *   list      which branches of this cluster are prepared?        prepared[]
 *   settle    did this one-phase transaction commit? (and if it   committed | aborted | retry
 *             did not, it never will)
 *   read      run statements that only read, at one moment         read (with its snapshot) | no
 *   waits     which branches wait for which others?               waits[] | retry
 *   statement one step of an interactive branch; the first one    ran | failed | no
 *             opens it
 *   prepare   an interactive branch has run its last step         prepared | readOnly | no
 *   keep      these interactive branches are still wanted         kept (and which of them are not open)
 *
 *   participant → any coordinator, over HTTP: inquiry.ts
 *
 * All requests but the two `execute` and `statement` are idempotent. An `execute` runs at most once: it names the
 * participant's incarnation (`bootId`, learned in the hello), and an incarnation remembers every carrier it has met. So
 * does a `statement`: only one that says `opens` begins a branch, and each carries its place in the transaction (`seq`).
 */
import { z } from "zod";
import type { OperationResult } from "./api.ts";
import { Isolation, Operation } from "./api.ts";
import { ERROR_CODES } from "./errors.ts";
import { INTERACTIVE_LIMITS, type ResultField, SAVEPOINT_PATTERN } from "./interactive.ts";
import type {
  Ballot,
  CarrierId,
  ClusterId,
  GlobalId,
  NodeId,
  ShardId,
  TransactionId,
  Xid,
} from "./ids.ts";

/** Raised with every change that an older peer would misread; hellos with another version are refused. */
export const PROTOCOL_VERSION = 3;

const branded = <Id extends string>() => z.string().min(1).max(255) as unknown as z.ZodType<Id>;
const ballotSchema = z.int().min(0) as unknown as z.ZodType<Ballot>;
const nodeIdSchema = z.int().min(1).max(1023) as unknown as z.ZodType<NodeId>;
export const carrierIdSchema = branded<CarrierId>();
const gidSchema = branded<GlobalId>();
const transactionIdSchema = branded<TransactionId>();
export const shardSchema = branded<ShardId>();
const clusterSchema = branded<ClusterId>();
export const xidSchema = z.string().regex(/^\d+$/) as unknown as z.ZodType<Xid>;
const snapshotSchema = z.string().regex(/^\d+:\d+:[\d,]*$/);

/** One operation of a member on this shard; `index` is its place in the client's request. */
export const BranchOperation = Operation.omit({ shard: true, statement: true }).extend({
  sql: Operation.shape.sql.unwrap(),
  index: z.int().min(0),
});
export type BranchOperation = z.infer<typeof BranchOperation>;

/** One transaction's part in a branch. */
export const BranchMember = z.object({
  transactionId: transactionIdSchema,
  operations: z.array(BranchOperation).min(1),
});
export type BranchMember = z.infer<typeof BranchMember>;

export const CARRIER_MEMBERS = 32;

/** A client's retry handle with a fingerprint of the body it was first used with. */
export const Idempotency = z.object({ key: z.string(), fingerprint: z.string() });
export type Idempotency = z.infer<typeof Idempotency>;

/** A shard refuses a key that it knows from another body, in the same round trip. */
const KeyedMember = BranchMember.extend({ idempotencyKey: z.string().nullable() });
export type KeyedMember = z.infer<typeof KeyedMember>;

const execution = {
  /** The leader's ballot. A participant refuses ballots lower than the highest it has heard. */
  ballot: ballotSchema,
  carrierId: carrierIdSchema,
  bootId: z.string(),
  isolation: Isolation,
  /** Milliseconds that statements and lock waits may take, from receipt. */
  timeoutMs: z.int().min(1),
};

export const ExecuteRequest = z.object({
  kind: z.literal("execute"),
  ...execution,
  gid: gidSchema,
  /** Run one after the other, in this order; when one fails, so does the branch. */
  members: z.array(KeyedMember).min(1).max(CARRIER_MEMBERS),
  /** Bounds each lock wait instead. */
  lockTimeoutMs: z.int().min(1).optional(),
});
export const ExecuteOnePhaseRequest = z.object({
  kind: z.literal("executeOnePhase"),
  ...execution,
  members: z.array(BranchMember).length(1),
  idempotency: Idempotency.nullable(),
  /** The leader's ledger may have forgotten the key: nothing is run under it, but its receipt here is still an answer. */
  isKeyExpired: z.boolean(),
});
export const CommitRequest = z.object({
  kind: z.literal("commit"),
  gid: gidSchema,
  /** From the vote. A prepared branch of the same gid with another xid is not the one that was voted for. */
  xid: xidSchema,
});
export const AbortRequest = z.object({ kind: z.literal("abort"), gid: gidSchema });
export const ListRequest = z.object({ kind: z.literal("list"), ballot: ballotSchema });
export const SettleRequest = z.object({
  kind: z.literal("settle"),
  transactionId: transactionIdSchema,
  carrierId: carrierIdSchema,
  /** An earlier attempt under the same key may have committed: then that is the answer. */
  idempotencyKey: z.string().optional(),
});
/** Changes nothing; asked twice before anything is concluded (coordinator/transactions/deadlocks). */
const WaitsRequest = z.object({ kind: z.literal("waits") });

export const ReadRequest = z.object({
  kind: z.literal("read"),
  timeoutMs: z.int().min(1),
  operations: z.array(BranchOperation).min(1),
});
export type ReadRequest = z.infer<typeof ReadRequest>;

/** Of an interactive branch. Names are quoted in SQL, and the alphabet leaves nothing to escape. */
const savepointName = z.string().regex(SAVEPOINT_PATTERN);
export const BranchAction = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("operation"), operation: BranchOperation }),
  z.object({ kind: z.enum(["savepoint", "rollbackTo", "release"]), name: savepointName }),
  /** Before anything else: the branch, of `repeatable read`, sees what is committed now, be it open already or not. */
  z.object({ kind: z.literal("takeSnapshot") }),
]);
export type BranchAction = z.infer<typeof BranchAction>;

const interactiveBranch = {
  ballot: ballotSchema,
  carrierId: carrierIdSchema,
  /** Of the incarnation that opened the branch. */
  bootId: z.string(),
  gid: gidSchema,
};

export const StatementRequest = z.object({
  kind: z.literal("statement"),
  ...interactiveBranch,
  isolation: Isolation,
  /** What is left of the transaction's time. */
  timeoutMs: z.int().min(1),
  /** A branch that hears nothing for this long, and a grace, is rolled back. */
  silenceLimitMs: z.int().min(1),
  /** Place among what the transaction asks of its branches, counted over all shards. */
  seq: z.int().min(1),
  /** The branch is begun by this step, with these savepoints set, the oldest first. Null: it is open already. */
  opens: z
    .object({ savepoints: z.array(savepointName).max(INTERACTIVE_LIMITS.maxSavepoints) })
    .nullable(),
  /** A savepoint is set: a statement that fails leaves the branch open, for `rollbackTo`. */
  outlivesFailure: z.boolean(),
  action: BranchAction,
});
export const PrepareRequest = z.object({
  kind: z.literal("prepare"),
  ...interactiveBranch,
  timeoutMs: z.int().min(1),
});
export const KeepRequest = z.object({
  kind: z.literal("keep"),
  gids: z.array(gidSchema).max(INTERACTIVE_LIMITS.maxOpen),
});

export const BranchRequest = z.discriminatedUnion("kind", [
  ExecuteRequest,
  ExecuteOnePhaseRequest,
  CommitRequest,
  AbortRequest,
  ListRequest,
  SettleRequest,
  ReadRequest,
  WaitsRequest,
  StatementRequest,
  PrepareRequest,
  KeepRequest,
]);
export type ExecuteRequest = z.infer<typeof ExecuteRequest>;
export type ExecuteOnePhaseRequest = z.infer<typeof ExecuteOnePhaseRequest>;
export type CommitRequest = z.infer<typeof CommitRequest>;
export type AbortRequest = z.infer<typeof AbortRequest>;
export type ListRequest = z.infer<typeof ListRequest>;
export type SettleRequest = z.infer<typeof SettleRequest>;
export type StatementRequest = z.infer<typeof StatementRequest>;
export type PrepareRequest = z.infer<typeof PrepareRequest>;
export type KeepRequest = z.infer<typeof KeepRequest>;
export type BranchRequest = z.infer<typeof BranchRequest>;

const operationResult = z.object({
  rowCount: z.int(),
  rows: z.array(z.record(z.string(), z.unknown())),
}) as unknown as z.ZodType<OperationResult>;
const resultField = z.object({
  name: z.string(),
  type: z.string(),
}) as unknown as z.ZodType<ResultField>;
/** Results of one member, in the order of its operations. */
const memberResults = z.array(operationResult);

/** Why a branch voted no, in the words of errors.ts. */
export const Refusal = z.object({
  code: z.enum(ERROR_CODES),
  sentence: z.string(),
  /** Which of the branch's members has failed, where there are several and it was one of them. */
  member: z.int().min(0).optional(),
  /** Place of the failed operation in the client's request. */
  operation: z.int().optional(),
  sqlstate: z.string().optional(),
  constraint: z.string().optional(),
});
export type Refusal = z.infer<typeof Refusal>;

const No = z.object({ kind: z.literal("no"), refusal: Refusal });
export const Vote = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("prepared"), xid: xidSchema, results: z.array(memberResults) }),
  z.object({ kind: z.literal("readOnly"), results: z.array(memberResults) }),
  No,
]);
export type Vote = z.infer<typeof Vote>;

export const OnePhaseReply = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("committed"),
    /** The transaction that committed: with `replayed`, an earlier one under the same idempotency key. */
    transactionId: transactionIdSchema,
    results: z.array(memberResults),
    replayed: z.boolean(),
  }),
  z.object({ kind: z.literal("readOnly"), results: z.array(memberResults) }),
  /** The COMMIT was sent and its reply lost: ask with `settle`. */
  z.object({ kind: z.literal("unknown"), sentence: z.string() }),
  No,
]);
export type OnePhaseReply = z.infer<typeof OnePhaseReply>;

/** How a participant knows that a branch ended: its own command's tag, or Postgres' record of the xid. */
export const Evidence = z.enum(["commandTag", "transactionStatus"]);
export type Evidence = z.infer<typeof Evidence>;

/** `lost`: the shard's evidence contradicts the decision. An incident for people, never swallowed. */
const lost = z.object({ kind: z.literal("lost"), sentence: z.string() });
/** Nothing is known yet (shard down, branch busy): ask again. */
const retry = z.object({ kind: z.literal("retry"), sentence: z.string() });

export const CommitReply = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("committed"), evidence: Evidence }),
  lost,
  retry,
]);
export type CommitReply = z.infer<typeof CommitReply>;

const aborted = z.object({ kind: z.literal("aborted") });
export const AbortReply = z.discriminatedUnion("kind", [aborted, lost, retry]);
export type AbortReply = z.infer<typeof AbortReply>;

export const PreparedBranch = z.object({
  gid: gidSchema,
  carrierId: carrierIdSchema,
  xid: xidSchema,
});
export type PreparedBranch = z.infer<typeof PreparedBranch>;
export const ListReply = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("prepared"), branches: z.array(PreparedBranch) }),
  retry,
]);
export type ListReply = z.infer<typeof ListReply>;

export const SettleReply = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("committed"),
    results: z.array(memberResults),
    /** The earlier attempt that committed instead of the one that was asked about. */
    transactionId: transactionIdSchema.optional(),
  }),
  aborted,
  retry,
]);
export type SettleReply = z.infer<typeof SettleReply>;

/** `snapshot`: Postgres' text of it, `xmin:xmax:running,…`. It tells of every transaction whether `results` have seen it. */
export const ReadReply = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("read"),
    snapshot: snapshotSchema,
    results: memberResults,
  }),
  No,
]);
export type ReadReply = z.infer<typeof ReadReply>;
/** On this shard one carrier waits for another, whose branch may be running or prepared. */
const BranchWait = z.object({
  waiter: carrierIdSchema,
  holder: carrierIdSchema,
  /** The same text in two replies means: the same wait, and it has not ended in between. */
  evidence: z.string(),
});
export type BranchWait = z.infer<typeof BranchWait>;
export const WaitsReply = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("waits"), waits: z.array(BranchWait) }),
  retry,
]);
export type WaitsReply = z.infer<typeof WaitsReply>;
export const StatementReply = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("ran"),
    /** Null for whatever is no statement. */
    result: operationResult.nullable(),
    fields: z.array(resultField),
    /** That was taken, as in a ReadReply. */
    snapshot: snapshotSchema.optional(),
  }),
  /** The branch is open, but only `rollbackTo` may follow. */
  z.object({ kind: z.literal("failed"), refusal: Refusal }),
  /** There is no such branch any more. */
  No,
]);
export type StatementReply = z.infer<typeof StatementReply>;

export const KeepReply = z.object({
  kind: z.literal("kept"),
  /** Those that are not open. */
  unknown: z.array(gidSchema),
});
export type KeepReply = z.infer<typeof KeepReply>;

/** The reply that belongs to each kind of request. */
export interface BranchReplies {
  readonly execute: Vote;
  readonly executeOnePhase: OnePhaseReply;
  readonly commit: CommitReply;
  readonly abort: AbortReply;
  readonly list: ListReply;
  readonly settle: SettleReply;
  readonly read: ReadReply;
  readonly waits: WaitsReply;
  readonly statement: StatementReply;
  readonly prepare: Vote;
  readonly keep: KeepReply;
}
export const BRANCH_REPLY_SCHEMAS: {
  readonly [Kind in keyof BranchReplies]: z.ZodType<BranchReplies[Kind]>;
} = {
  execute: Vote,
  executeOnePhase: OnePhaseReply,
  commit: CommitReply,
  abort: AbortReply,
  list: ListReply,
  settle: SettleReply,
  read: ReadReply,
  waits: WaitsReply,
  statement: StatementReply,
  prepare: Vote,
  keep: KeepReply,
};

/** First message on a participant's socket, from the coordinator; and the participant's answer. */
export const CoordinatorHello = z.object({
  protocol: z.literal(PROTOCOL_VERSION),
  clusterId: clusterSchema,
  nodeId: nodeIdSchema,
});
export type CoordinatorHello = z.infer<typeof CoordinatorHello>;
export const ParticipantHello = z.object({
  protocol: z.literal(PROTOCOL_VERSION),
  clusterId: clusterSchema,
  shard: shardSchema,
  /** Made anew at each start of the participant process. */
  bootId: z.string(),
  /** How many branches the participant will hold at once (admission control). */
  maxBranches: z.int().min(1),
});
export type ParticipantHello = z.infer<typeof ParticipantHello>;
