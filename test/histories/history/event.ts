/**
 * What clients did and were told, event by event. The checkers know nothing else of a run, so whatever a checker is to judge
 * must be in here; and a run can be judged again, or by other programs, from its file alone.
 *
 * A transaction is invoked by a process and ends in one of three ways: `ok`, committed; `fail`, without effect for ever; `info`,
 * nobody told. What ended as `info`, or never ended, may take effect at any time later, or never.
 */
import { z } from "zod";

const MAX_OPERATIONS = 256;
const MAX_LIST_LENGTH = 65_536;
const MAX_NAME_LENGTH = 200;
const MAX_PROCESSES = 1_000_000;

const Name = z.string().min(1).max(MAX_NAME_LENGTH);
const Value = z.int();

/**
 * How a read was taken; on this depends what it may show.
 *
 *   statement      a plain `select` under `read committed`: what its shard had committed when the statement began
 *   shardSnapshot  within a transaction under `repeatable read` or `serializable`: one snapshot of its shard
 *   locking        `select … for update` or `for share`: the newest version, held until the transaction ends
 *   atomic         `POST /v1/reads`: one snapshot of each shard, and every transaction in all of them or in none
 */
const View = z.enum(["statement", "shardSnapshot", "locking", "atomic"]);
export type View = z.infer<typeof View>;

const place = { shard: Name, key: Name };

/** `null` where what a read found is not known: before it ran, and where its answer was lost. */
const Operation = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("append"), ...place, value: Value }),
  z.strictObject({
    kind: z.literal("readList"),
    ...place,
    view: View,
    list: z.array(Value).max(MAX_LIST_LENGTH).nullable(),
  }),
  z.strictObject({ kind: z.literal("writeRegister"), ...place, value: Value }),
  z.strictObject({
    kind: z.literal("readRegister"),
    ...place,
    view: View,
    value: Value.or(z.literal("absent")).nullable(),
  }),
]);
export type Operation = z.infer<typeof Operation>;

const Operations = z.array(Operation).min(1).max(MAX_OPERATIONS);

const common = {
  /** Since the run began; of one clock, so that events can be compared. */
  atMs: z.number().nonnegative(),
  /** One transaction at a time. */
  process: z.int().nonnegative().max(MAX_PROCESSES),
  /** The client's own name for it, such as its idempotency key: known before anything was sent. */
  transaction: Name,
};

export const HistoryEvent = z.discriminatedUnion("event", [
  z.strictObject({ event: z.literal("invoke"), ...common, operations: Operations }),
  z.strictObject({
    event: z.literal("ok"),
    ...common,
    /** `applied`: every shard has committed (no `pendingShards`); `decided`: the log has, shards may lag. */
    acknowledged: z.enum(["applied", "decided"]),
    /** As invoked, with what the reads found. */
    operations: Operations,
  }),
  z.strictObject({ event: z.literal("fail"), ...common, reason: Name }),
  z.strictObject({ event: z.literal("info"), ...common, reason: Name }),
]);
export type HistoryEvent = z.infer<typeof HistoryEvent>;
