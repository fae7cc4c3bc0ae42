/**
 * The names of things, as branded types: a shard can never be passed where a gid is wanted.
 *
 *   Ballot         round * 1024 + nodeId     one safe integer, totally ordered, never reused
 *   CarrierId      "<round>-<node>-<sequence>"           what two-phase commit runs on
 *   TransactionId  "<round>-<node>-<sequence>-<tail>"    what a client holds; the tail has a check (id-check.ts) and
 *                                                        is else random, so that ids cannot be guessed
 *                  "…-<tail>.<shard>"                    the same for a one-phase transaction: its outcome is
 *                                                        kept by that shard alone, not by the ledger
 *
 * Carriers and transactions of one leader draw from one sequence, so a set of sequences (ledger) can hold both.
 */
import { assert } from "./assert.ts";

declare const brand: unique symbol;
type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

export type NodeId = Brand<number, "NodeId">;
export type Ballot = Brand<number, "Ballot">;
export type Slot = Brand<number, "Slot">;
export type ClusterId = Brand<string, "ClusterId">;
export type ShardId = Brand<string, "ShardId">;
export type CarrierId = Brand<string, "CarrierId">;
export type TransactionId = Brand<string, "TransactionId">;
/** Postgres' name of a prepared branch; made and read by global-id.ts alone. */
export type GlobalId = Brand<string, "GlobalId">;
/** A 64-bit Postgres transaction id (`xid8`) in decimal. */
export type Xid = Brand<string, "Xid">;

/** Node ids are 1..1023: ten bits of the packed ballot. */
const NODE_ID_SPAN = 1024;
const MAX_ROUND = Math.floor(Number.MAX_SAFE_INTEGER / NODE_ID_SPAN) - 1;

export const CLUSTER_ID_PATTERN = /^[a-z0-9][a-z0-9-]{0,39}$/;
export const SHARD_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/;
const CARRIER_ID_PATTERN = /^([0-9a-z]{1,11})-([0-9]{1,4})-([0-9a-z]{1,11})$/;
const TRANSACTION_ID_PATTERN =
  /^([0-9a-z]{1,11})-([0-9]{1,4})-([0-9a-z]{1,11})-([0-9a-z]{8,32})(?:\.([A-Za-z0-9][A-Za-z0-9.-]{0,62}))?$/;

/** Lower than every ballot that a node can own: the promise of a node that never promised. */
export const ZERO_BALLOT = 0 as Ballot;
/** Slots count from 1; 0 is "nothing yet". */
export const ZERO_SLOT = 0 as Slot;

export function nodeId(value: number): NodeId {
  assert(Number.isInteger(value) && value > 0 && value < NODE_ID_SPAN, "a node id is 1..1023");
  return value as NodeId;
}

export function slot(value: number): Slot {
  assert(Number.isSafeInteger(value) && value >= 0, "a slot is a non-negative safe integer");
  return value as Slot;
}

export function nextSlot(after: Slot): Slot {
  return (after + 1) as Slot;
}

export function ballot(round: number, owner: NodeId): Ballot {
  assert(
    Number.isInteger(round) && round > 0 && round <= MAX_ROUND,
    "a round is a positive integer",
  );
  return (round * NODE_ID_SPAN + owner) as Ballot;
}

export function roundOf(of: Ballot): number {
  return Math.floor(of / NODE_ID_SPAN);
}

/** The node that owns a ballot. Undefined for ZERO_BALLOT, which nobody owns. */
export function ownerOf(of: Ballot): NodeId | undefined {
  const owner = of % NODE_ID_SPAN;
  return owner === 0 ? undefined : (owner as NodeId);
}

export function clusterId(value: string): ClusterId {
  assert(CLUSTER_ID_PATTERN.test(value), "a cluster id matches CLUSTER_ID_PATTERN");
  return value as ClusterId;
}

export function shardId(value: string): ShardId {
  assert(SHARD_ID_PATTERN.test(value), "a shard id matches SHARD_ID_PATTERN");
  return value as ShardId;
}

function stem(of: Ballot, sequence: number): string {
  return `${roundOf(of).toString(36)}-${of % NODE_ID_SPAN}-${sequence.toString(36)}`;
}

export function carrierId(of: Ballot, sequence: number): CarrierId {
  return stem(of, sequence) as CarrierId;
}

export function transactionId(of: Ballot, sequence: number, tail: string): TransactionId {
  return `${stem(of, sequence)}-${tail}` as TransactionId;
}

export function onePhaseTransactionId(
  of: Ballot,
  sequence: number,
  tail: string,
  shard: ShardId,
): TransactionId {
  return `${transactionId(of, sequence, tail)}.${shard}` as TransactionId;
}

/** The shard that keeps the outcome of a one-phase transaction; undefined for every other id. */
export function onePhaseShard(id: TransactionId): ShardId | undefined {
  const shard = TRANSACTION_ID_PATTERN.exec(id)?.[5];
  return shard === undefined ? undefined : (shard as ShardId);
}

/** A transaction id as text: `stem-tail`, and `suffix`, which is empty or `.` and a shard. */
export interface SplitId {
  readonly stem: string;
  readonly tail: string;
  readonly suffix: string;
}

/** Undefined when the text is no transaction id. */
export function splitId(text: string): SplitId | undefined {
  const [, round, node, sequence, tail, shard] = TRANSACTION_ID_PATTERN.exec(text) ?? [];
  if (tail === undefined || parseTransactionId(text) === undefined) return undefined;
  const suffix = shard === undefined ? "" : `.${shard}`;
  return { stem: `${round}-${node}-${sequence}`, tail, suffix };
}

/** The last characters of an id's tail, and the id without them; undefined when too little of the tail would be left. */
export function splitTail(
  id: TransactionId,
  length: number,
): { readonly bare: TransactionId; readonly end: string } | undefined {
  const { stem, tail, suffix } = splitId(id) ?? { stem: "", tail: "", suffix: "" };
  const bare = parseTransactionId(`${stem}-${tail.slice(0, -length)}${suffix}`);
  return bare === undefined ? undefined : { bare, end: tail.slice(-length) };
}

/** The leader's ballot and the place in its sequence, read back from an id that the leader made. */
export interface Origin {
  readonly ballot: Ballot;
  readonly sequence: number;
}

function originFrom(match: RegExpExecArray | null): Origin | undefined {
  if (match === null) return undefined;
  const round = Number.parseInt(match[1] ?? "", 36);
  const node = Number.parseInt(match[2] ?? "", 10);
  const sequence = Number.parseInt(match[3] ?? "", 36);
  const inRange =
    round > 0 &&
    round <= MAX_ROUND &&
    node > 0 &&
    node < NODE_ID_SPAN &&
    Number.isSafeInteger(sequence);
  return inRange ? { ballot: ballot(round, node as NodeId), sequence } : undefined;
}

/** Undefined when the text is no carrier id. */
export function carrierOrigin(id: string): Origin | undefined {
  return originFrom(CARRIER_ID_PATTERN.exec(id));
}

/** Of an id that is one. */
export function originOf(id: TransactionId): Origin {
  const origin = transactionOrigin(id);
  assert(origin !== undefined, "a transaction id names its origin");
  return origin;
}

/** Undefined when the text is no transaction id. */
export function transactionOrigin(id: string): Origin | undefined {
  return originFrom(TRANSACTION_ID_PATTERN.exec(id));
}

export function parseTransactionId(text: string): TransactionId | undefined {
  return transactionOrigin(text) === undefined ? undefined : (text as TransactionId);
}

export function parseCarrierId(text: string): CarrierId | undefined {
  return carrierOrigin(text) === undefined ? undefined : (text as CarrierId);
}
