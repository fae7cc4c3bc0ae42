/**
 * The answers of the REST API as schemas: the client reads with them, and the OpenAPI document is made of them. Unlike
 * requests they are not strict: a client passes over fields that a newer server adds.
 */
import { z } from "zod";
import type {
  OperationResult,
  ReadResponse,
  TransactionResponse,
  TransactionStatus,
} from "./api.ts";
import { ERROR_CODES } from "./errors.ts";

const OperationResultSchema = z.object({
  rowCount: z.int().min(0),
  rows: z.array(z.record(z.string(), z.unknown())),
}) satisfies z.ZodType<OperationResult>;

export const CommittedAnswer = z.object({
  id: z.string(),
  outcome: z.literal("committed"),
  results: z.array(OperationResultSchema),
  pendingShards: z.array(z.string()),
}) satisfies z.ZodType<TransactionResponse>;

/** Of `POST /v1/reads`. */
export const ReadAnswer = z.object({
  results: z.array(OperationResultSchema),
}) satisfies z.ZodType<ReadResponse>;

export const StatusAnswer = z.object({
  id: z.string(),
  state: z.enum(["active", "committed", "aborted", "unknown", "forgotten"]),
  pendingShards: z.array(z.string()),
}) satisfies z.ZodType<TransactionStatus>;

/** Of `POST /v1/transactions/begin`. */
export const BegunAnswer = z.object({
  id: z.string(),
  /** The end of `timeoutMs`. */
  expiresAt: z.iso.datetime(),
  idleTimeoutMs: z.int(),
  timeoutMs: z.int(),
});

/** Of a statement of an interactive transaction. */
export const StatementAnswer = z.object({
  seq: z.int(),
  ...OperationResultSchema.shape,
  /** `type` is Postgres' name of it, such as `int4`. */
  fields: z.array(z.object({ name: z.string(), type: z.string() })),
});

/** Of `savepoint`, `rollbackTo` and `release`. */
export const StepAnswer = z.object({ seq: z.int() });

export const RolledBackAnswer = z.object({ id: z.string(), outcome: z.literal("aborted") });

const Member = z.object({
  id: z.int(),
  url: z.string(),
  /** `unknown`: this node hears no leader, and can speak only of itself. */
  role: z.enum(["leader", "follower", "candidate", "unknown"]),
});

export const ClusterAnswer = z.object({
  /** The node that answers. */
  node: z.int(),
  leader: z.int().nullable(),
  /** On the leader: its barrier is applied. Elsewhere: a leader was heard within the election timeout. */
  serving: z.boolean(),
  ballot: z.object({ round: z.int(), node: z.int().nullable() }),
  chosenUpTo: z.int(),
  appliedUpTo: z.int(),
  inFlight: z.int().min(0),
  members: z.array(Member),
  shards: z.array(z.object({ shard: z.string(), reachable: z.boolean() })),
  incidents: z.array(
    z.object({
      kind: z.literal("participantLost"),
      shard: z.string(),
      gid: z.string(),
      sentence: z.string(),
    }),
  ),
});
export type ClusterAnswer = z.infer<typeof ClusterAnswer>;

export const ReadinessAnswer = z.object({
  ready: z.boolean(),
  serving: z.boolean(),
  leader: z.int().nullable(),
  draining: z.boolean(),
});

export const LivenessAnswer = z.object({ alive: z.literal(true) });

/** RFC 9457. */
export const ProblemAnswer = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  instance: z.string(),
  code: z.enum(ERROR_CODES),
  outcome: z.enum(["not_started", "aborted", "committed", "unknown"]),
  retryable: z.boolean(),
  retryAfterMs: z.int().min(0).optional(),
  transactionId: z.string().optional(),
  shard: z.string().optional(),
  sqlstate: z.string().optional(),
  constraint: z.string().optional(),
  /** The offending fields of the request: `operations[2].params[0]`, or empty for the body as a whole. */
  errors: z.array(z.object({ field: z.string(), sentence: z.string() })),
});
